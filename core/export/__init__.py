"""Writing the files of bundles, and the whole cascade as one ONNX file."""
