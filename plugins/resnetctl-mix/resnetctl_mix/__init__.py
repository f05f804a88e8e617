"""Augmentation policies that draw per image and compute on the batch.

`ops` are the kernels, `spaces` what the papers draw from, `mixing` pairs images, `policies` are the six that are
registered, and `adapter.per_image` makes a policy of any torchvision v2 transform.
"""
