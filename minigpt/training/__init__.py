"""Plans and trains models."""
