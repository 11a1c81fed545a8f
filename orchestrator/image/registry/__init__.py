"""Finds, pulls and pushes images in a registry, and what is attached to them."""
