"""Training of the networks. Lightning lives here and nowhere else."""
