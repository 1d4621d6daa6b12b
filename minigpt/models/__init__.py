"""Token ids to logits: GPT-2, and the architectures before it."""
