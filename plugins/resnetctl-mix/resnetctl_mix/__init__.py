"""Augmentation policies that draw for each image and compute on the batch.

`ops` has the kernels, `spaces` the operations and magnitudes of the papers, `mixing` MixUp and CutMix, `policies` the
six registered policies. `adapter.per_image` makes a policy of any torchvision v2 transform.
"""
