"""A tracker for resnetctl that writes MLflow's file store."""
