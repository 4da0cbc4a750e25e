"""One reader for each policy file; every mistake with its line and column."""
