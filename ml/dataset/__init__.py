"""Examples to learn from, cut by time first. Knows nothing of any model."""
