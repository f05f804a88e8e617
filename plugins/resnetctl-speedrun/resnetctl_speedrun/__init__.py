"""The speed net of airbench for resnetctl: archs, a block, a whitening init and a recipe."""
