"""Models that turn token ids into logits: GPT-2, and the architectures before it."""
