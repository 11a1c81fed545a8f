"""The verbs of `reprise image`."""
