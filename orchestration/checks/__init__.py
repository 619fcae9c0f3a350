"""What must hold between two stations."""
