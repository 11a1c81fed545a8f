"""Layers and images, byte for byte the same everywhere."""
