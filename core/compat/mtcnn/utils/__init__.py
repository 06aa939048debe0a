"""What programs for mtcnn take from its `utils`."""
