"""Images in a registry: found, pulled, pushed, and what is attached to them."""
