"""Sizes of files are read."""

import pytest

from resnetctl.config.sizes import byte_count


@pytest.mark.parametrize(
    ("text", "wanted"), [("500kB", 500_000), ("1.5MB", 1_500_000), ("64 KiB", 65_536), ("7B", 7), ("2GB", 2 * 10**9)]
)
def test_byte_count_reads_sizes_as_people_type_them(text: str, wanted: int) -> None:
    assert byte_count(text) == wanted


@pytest.mark.parametrize("text", ["", "500", "kB", "-1kB", "0kB", "0.1B", "500kb", "1e3kB", "1MB2"])
def test_byte_count_refuses_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="should be a size such as 500kB"):
        byte_count(text)
