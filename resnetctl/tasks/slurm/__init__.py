"""`slurm`: a batch script that trains a run."""
