"""From program, source and wheels to one digest: images are assembled over a pinned base, never built."""
