"""A head for several labels per image, for resnetctl."""
