"""What a process trains, as digests: step by step, or operation by operation."""
