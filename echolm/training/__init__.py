"""Training: one loop for every task and objective, its members, feeds, checkpoints and ranks."""
