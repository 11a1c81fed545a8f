"""Input data by digest: into the store, out of it into this box's cache, and to where a run mounts it."""
