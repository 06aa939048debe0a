"""Timing whole detection beside other packages."""
