"""The forms of a view: page, JSON, clean text, units."""
