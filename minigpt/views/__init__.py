"""Questions about a model, one per file: a record, and the function that computes it."""
