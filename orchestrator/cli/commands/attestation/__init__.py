"""The verbs of `reprise attestation`."""
