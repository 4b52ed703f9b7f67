"""Submitting jobs, and learning what became of them."""
