"""The architectures before the GPT, side by side with it: models, measurements and records of `compare`."""
