"""Where jobs run on SLURM: checks of a site, submission, and what runs inside a job."""
