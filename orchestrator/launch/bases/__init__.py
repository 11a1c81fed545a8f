"""Bases made and tried on this box."""
