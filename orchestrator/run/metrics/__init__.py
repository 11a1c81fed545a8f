"""Reading the metrics that a job wrote, in several formats."""
