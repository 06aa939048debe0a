"""Bundles as files, and the whole cascade as one ONNX file."""
