"""From what a person writes about packages to a hash-locked requirements file for a base."""
