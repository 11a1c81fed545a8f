"""Looks at a project as it lies there, and drafts its job file. Nothing of it is imported or run."""
