"""From a request to a recorded result: what puts run and record together."""
