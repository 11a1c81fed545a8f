"""The forms of what is told: pages, JSON, clean text, units."""
