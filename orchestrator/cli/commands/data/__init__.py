"""The verbs of `reprise data`, one module each."""
