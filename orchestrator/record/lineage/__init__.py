"""Where files came from, and what was made of them: by content."""
