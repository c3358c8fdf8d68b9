"""Networks as ONNX graphs, and folders that run without torch."""
