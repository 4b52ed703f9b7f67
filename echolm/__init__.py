"""One experiment: from data to a run record."""
