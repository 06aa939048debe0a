"""Preparation of training data."""
