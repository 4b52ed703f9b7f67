"""Print one static page about a grid.

It shows tables, learning curves, distributions, contours, cost, failures, and what is missing.
"""
