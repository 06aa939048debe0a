"""Model bundles: their format, their files, and where they are found."""
