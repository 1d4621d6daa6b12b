"""Questions about a model, one per file: the record, and the function that answers."""
