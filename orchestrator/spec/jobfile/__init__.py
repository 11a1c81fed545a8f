"""Reads a job file strictly: YAML with line numbers, short forms, checks; all problems in one report."""
