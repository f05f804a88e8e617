"""The form of an export has only what was asked for."""

import pytest

from resnetctl.errors import UsageError
from resnetctl.tasks.export import form_of


def test_the_form_has_only_what_is_asked_for() -> None:
    assert form_of("float", None) == {"input": "float"}
    assert form_of("raw", "triton") == {"input": "raw", "to": "triton"}
    assert form_of("float", None, int8=True, data="zoo") == {"input": "float", "data": "zoo", "int8": {}}
    with pytest.raises(UsageError, match="max_drop needs int8"):
        form_of("float", None, max_drop=1.0, data="zoo")
