"""Reads the source of a job, from a folder or from git, into plain values."""
