"""Turns logits into distributions and draws tokens from them, with a record of every step."""
