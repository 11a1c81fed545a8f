"""Makes layers and images, byte for byte the same everywhere."""
