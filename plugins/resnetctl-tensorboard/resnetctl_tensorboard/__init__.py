"""A tracker for resnetctl that writes TensorBoard's event files."""
