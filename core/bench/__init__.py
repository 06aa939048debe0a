"""Timing whole detection against other packages."""
