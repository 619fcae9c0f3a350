"""Learns, exports and checks the two towers and the rating head. TensorFlow lives here, and is imported only when used."""
