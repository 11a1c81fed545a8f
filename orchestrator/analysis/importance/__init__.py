"""Which parameter a metric depends on, and how much."""
