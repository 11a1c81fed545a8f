"""Answers about runs, verdicts, a history: a document and a page of each."""
