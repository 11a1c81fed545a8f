"""The verbs of `reprise base`."""
