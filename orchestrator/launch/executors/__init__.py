"""Where an attempt executes: one small interface, one module per kind."""
