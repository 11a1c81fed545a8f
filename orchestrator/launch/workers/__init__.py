"""Boxes that take queued runs by themselves."""
