"""Logits to a distribution to a token, with a record of every step."""
