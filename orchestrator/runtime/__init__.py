"""What goes into the image: levers, read-back, entry point. Standard library and torch only.

Nothing in here imports the rest of the package: these files are copied into the image as they are.
"""
