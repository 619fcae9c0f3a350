"""The request path, and nothing that is only needed to train: NumPy, Arrow, ONNX Runtime, ScaNN, LightGBM."""
