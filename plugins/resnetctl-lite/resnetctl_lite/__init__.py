"""Lightweight residual blocks for resnetctl: depthwise-separable and inverted bottleneck."""
