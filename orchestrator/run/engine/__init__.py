"""The container engine, and all that speaks its language."""
