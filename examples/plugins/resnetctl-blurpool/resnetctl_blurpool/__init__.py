"""A residual block for resnetctl."""
