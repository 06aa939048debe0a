"""Timing whole detection against other packages and detectors, beside what they find."""
