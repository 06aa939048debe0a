"""Model bundles: their format, their files, and finding them."""
