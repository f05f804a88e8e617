"""Readers: a folder, an archive or a table of images as one stream of named, labelled files."""
