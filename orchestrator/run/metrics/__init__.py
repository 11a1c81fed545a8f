"""Metrics that a job wrote, in whatever form."""
