"""Writing and reading single runs."""
