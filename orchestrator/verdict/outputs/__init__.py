"""Files of two runs: paired, compared, and what a tolerance excuses."""
