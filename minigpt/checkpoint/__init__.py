"""Saves a model with its tokenizer to a folder and loads it again; also runs, snapshots and export."""
