"""Detection: the image pyramid, the cascade, `Detector`, and pictures of what it found."""
