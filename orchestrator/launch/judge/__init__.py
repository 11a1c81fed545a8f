"""What is said of a run beside another."""
