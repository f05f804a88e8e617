"""Grouped bottlenecks (ResNeXt) for resnetctl."""
