"""Searches: trials of one run's configuration, whose free fields an Optuna sampler chooses by validation metrics alone.

``definition``: YAML to a search. ``study``: the trials in a journal file. ``trial``: one trial as a run record.
``worker``: what local processes, SLURM tasks and Ray tasks all run. ``results``: what was found.
"""
