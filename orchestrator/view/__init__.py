"""What is said of a run, a verdict, a history: a document and a page of each."""
