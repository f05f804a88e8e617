"""The Muon optimizer and the trapezoid schedule for resnetctl."""
