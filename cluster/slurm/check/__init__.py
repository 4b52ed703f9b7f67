"""Checks of a site before jobs are submitted to it."""
