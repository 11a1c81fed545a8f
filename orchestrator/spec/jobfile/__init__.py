"""A job file, read strictly: YAML with lines, short forms, checks, and all its problems told at once."""
