"""Packages by their names: what a base has of them, which module comes from which, what a uv.lock names."""
