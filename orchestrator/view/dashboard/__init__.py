"""Views of which only the dashboard has room for all: groups of runs, parts of a run, the kept audit."""
