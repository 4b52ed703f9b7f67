"""Data: one reader a dataset, the clip store, decoding, the phantom."""

DATA_PROTOCOL = 1
"""Raised when the same files would give other samples, frames, splits or landmarks."""
