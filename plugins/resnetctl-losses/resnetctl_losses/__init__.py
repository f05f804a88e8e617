"""PolyLoss and the generalised cross-entropy for resnetctl."""
