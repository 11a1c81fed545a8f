"""From a spec, a digest or a run to a queued run."""
