"""What outputs look like: bounded readings of a stranger's files."""
