"""Questions about many runs."""
