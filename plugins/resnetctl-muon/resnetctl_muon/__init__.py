"""Muon, schedule-free optimizers and the trapezoid schedule for resnetctl."""
