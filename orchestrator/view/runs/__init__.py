"""What is told of runs."""
