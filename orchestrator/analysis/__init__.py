"""What many runs show together: pure functions over plain values."""
