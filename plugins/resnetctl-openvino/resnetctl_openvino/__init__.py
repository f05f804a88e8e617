"""OpenVINO files from a network."""
