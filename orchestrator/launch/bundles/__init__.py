"""Bundles: an image, its runs, their evidence and input data in one file, for a box without a network."""
