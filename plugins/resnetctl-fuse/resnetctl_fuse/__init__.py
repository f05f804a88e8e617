"""A head for an image and the numbers that come with it, for resnetctl."""
