"""Check every rule of resnetctl for each entry of this distribution."""

from resnetctl.testing import conformance

test_conformance = conformance("resnetctl-blurpool")
