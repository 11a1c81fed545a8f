"""Making a result from what a job left when it ended."""
