"""What a network is worth beyond its accuracy: numbers from stored logits, features and labels. Imports no torch."""
