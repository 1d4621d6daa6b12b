"""Converts text to token ids and back, and reads and stores corpora."""
