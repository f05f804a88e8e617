"""Every rule of resnetctl on everything that this distribution registers."""

from resnetctl.testing import conformance

test_conformance = conformance("resnetctl-blurpool")
