"""From what a dead job left to its result."""
