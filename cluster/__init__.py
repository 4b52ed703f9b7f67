"""Where jobs run: this machine, SLURM, Ray."""
