"""The source of a job: from a folder or from git, as plain values."""
