"""Characters to token ids and back, and files of ids."""
