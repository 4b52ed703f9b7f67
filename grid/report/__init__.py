"""One static page about a grid: tables, learning curves, distributions, contours, cost, failures, what is missing."""
