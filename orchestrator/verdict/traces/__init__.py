"""Numbers and traces of two runs, compared."""
