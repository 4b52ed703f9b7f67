"""Protocol numbers of what every run uses: they are part of its fingerprint."""

DATA_PROTOCOL = 1
"""Raised when the same files would give other samples, frames, splits or landmarks."""

TRAINING_PROTOCOL = 1
"""Raised when the loop's results change for an unchanged configuration."""
