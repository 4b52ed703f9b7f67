"""Training: one loop for every task, its members, checkpoints, ranks."""

TRAINING_PROTOCOL = 1
"""Raised when the loop's results change for an unchanged configuration."""
