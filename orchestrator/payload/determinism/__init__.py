"""Torch's determinism settings, their read-back, and the operations that torch refuses under them."""
