"""A folder on disk to a model with its tokenizer and back; runs, snapshots and export."""
