"""The container engine: its interface, its errors, what is sent to it and what it answers."""
