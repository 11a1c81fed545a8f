"""One attempt: a plan as data, the engine that carries it out, and the result read from what is left."""
