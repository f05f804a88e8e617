"""What `predict` does with many files: a table that grows and resumes, files that move, problems listed at the end."""
