"""Runs that another box executes: where to, how they get there, and waiting for their end."""
