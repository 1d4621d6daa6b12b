"""A text to a better model, and the plan that makes the most of the time."""
