"""Names that people give to data."""
