"""Did it reproduce? Pure functions over two records."""
