"""A page that classifies pictures in a browser."""
