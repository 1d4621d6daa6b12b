"""`minigpt compare`: trains a GPT and the architectures before it, and measures them side by side."""
