"""Content-addressed blobs, in a folder or in a bucket."""
