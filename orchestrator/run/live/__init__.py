"""An attempt while it runs: what it wrote by now, reduced to a size that can be sent again and again."""
