"""Processes on one or several hosts that train one net together: starting, watching and ending them."""
