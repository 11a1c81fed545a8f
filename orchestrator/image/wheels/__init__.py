"""From a lock to wheels on this machine, and from wheels to layers."""
