"""The interfaces of two other packages on this package's detector: a program for them runs with its import changed."""
