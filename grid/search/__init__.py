"""Searches: trials of one run's configuration.

An Optuna sampler chooses the free fields by validation metrics alone.

``definition``: YAML to a search. ``study``: the trials in a journal file. ``journal``: that file,
which survives a cut line. ``trial``: one trial as a run record. ``worker``: what local processes,
SLURM tasks and Ray tasks all run. ``progress``: what is checked first, and what has ended while
workers run. ``results``: what was found.
"""
