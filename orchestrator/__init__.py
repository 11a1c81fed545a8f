"""Reprise: a training job becomes one digest, runs on a GPU worker, is recorded, and can be proved again."""

__version__ = "0.1.0"
