"""The verbs of `reprise store`."""
