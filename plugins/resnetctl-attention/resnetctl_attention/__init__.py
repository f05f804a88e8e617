"""Attention in residual blocks, for resnetctl: squeeze-and-excitation, ECA and CBAM."""
