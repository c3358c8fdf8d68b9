"""A network as ONNX graphs: written, checked, and run with ONNX Runtime or OpenVINO."""
