"""The files that people list packages in, of pip, Python projects and conda."""
