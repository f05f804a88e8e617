"""Check every rule of resnetctl for each entry of this package."""

from resnetctl.testing import conformance

test_conformance = conformance("resnetctl-fuse")
