"""Why two runs differ, and what to do about it."""
