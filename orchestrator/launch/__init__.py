"""Where an attempt executes: what puts the run room and the record together."""
