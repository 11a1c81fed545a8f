"""One attempt on this box, from claim to committed result."""
