"""What a report does with pixels: corruptions, near-duplicates, maps."""
