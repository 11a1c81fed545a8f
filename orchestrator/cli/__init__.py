"""The command line: the only importer of click and rich; one short function per verb."""
