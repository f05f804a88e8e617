"""`auto` keeps pixels unless they need over half of the free disk and the files need less."""

from pathlib import Path

import pytest

from resnetctl.data.storage.choice import choose_form
from resnetctl.spec import ImageSpec
from resnetctl.system import storage

IMAGE = ImageSpec(size=10, mean=(0.5,) * 3, std=(0.5,) * 3)  # 300 bytes


@pytest.mark.parametrize(
    ("asked", "free", "size", "form"),
    [
        ("auto", 60_000, 1, "raw"),
        ("auto", 59_999, 1, "jpeg"),
        ("auto", 59_999, 29_999, "jpeg"),
        ("auto", 59_999, 30_000, "raw"),
        ("raw", 0, 1, "raw"),
        ("jpeg", 10**9, 10**9, "jpeg"),
    ],
)
def test_the_form_follows_the_free_disk(
    monkeypatch: pytest.MonkeyPatch, asked: str, free: int, size: int, form: str
) -> None:
    monkeypatch.setattr(storage, "free_space", lambda folder: free)
    choice = choose_form(asked, Path("data"), count=100, image=IMAGE, size=size)  # type: ignore[arg-type]
    assert choice.storage == form
    assert bool(choice.notes) == (asked == "auto" and form == "jpeg")
