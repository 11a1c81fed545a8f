"""One module for each page: its handlers and its `routes`."""
