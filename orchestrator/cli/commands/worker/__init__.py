"""The verbs of `reprise worker`."""
