"""The single source of truth: SQL rows for questions, content-addressed blobs for bytes."""
