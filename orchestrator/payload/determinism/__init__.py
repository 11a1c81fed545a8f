"""The settings of torch, whether they hold, and what torch refuses under them."""
