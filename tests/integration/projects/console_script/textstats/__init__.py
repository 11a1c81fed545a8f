"""Statistics of text."""
