"""Detection: the image pyramid, the cascade, `Detector`, and pictures of the detected faces."""
