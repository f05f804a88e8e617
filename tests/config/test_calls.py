"""Arguments of another type than their annotation are one `UsageError` that names them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
import pytest

from resnetctl.config.calls import checked
from resnetctl.errors import UsageError
from resnetctl.hints import Setting

if TYPE_CHECKING:
    from decimal import Decimal


class Options(TypedDict, total=False):
    limit: float | None
    kinds: str | Sequence[str]


class Others(TypedDict, total=False):
    tune: bool


@checked(except_for=["free"])
def work(
    target: str | None = None,
    images: str | PathLike[str] | Iterable[str | PathLike[str]] = (),
    *,
    top: int = 1,
    name: str | None = None,
    split: Literal["a", "b"] = "a",
    set: Mapping[str, Any] | None = None,
    sizes: Sequence[int] = (),
    free: int = 0,
    far: "Decimal | None" = None,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Return some of the arguments."""
    return {"target": target, "name": name, "images": images, **options}


@checked(options=lambda: Others)
def train(**flags: Any) -> dict[str, Any]:
    return flags


@checked()
def needing(file: str, other: int = 0, *, top: int = 1) -> None:
    """Do nothing."""


class Held:
    @checked()
    def __init__(self, *, top: int = 1) -> None:
        self.top = top


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top": "3"}, "top takes a whole number, not '3'"),
        ({"top": 2.5}, "top takes a whole number, not 2.5"),
        ({"top": True}, "top takes a whole number, not True"),
        ({"name": 5}, "name takes a text, not 5"),
        ({"name": np.zeros(3)}, "name takes a text, not an ndarray"),
        ({"name": b"x"}, "name takes a text, not bytes"),
        ({"limit": True}, "limit takes a number, not True"),
        ({"limit": "0.5"}, "limit takes a number, not '0.5'"),
        ({"kinds": [1]}, "kinds takes a text or a list of texts, not a list with 1"),
        ({"split": 3}, "split takes a text, not 3"),
        ({"set": {3: 1}}, "set takes a dict with texts as keys, not a dict with 3"),
        ({"set": ["lr=3"]}, "set takes a dict with texts as keys, not a list"),
        ({"sizes": "12"}, "sizes takes a list of whole numbers, not '12'"),
        ({"images": None}, "images takes a text or a path or a list of texts or paths, not None"),
        (
            {"images": ["a", np.zeros(3)]},
            "images takes a text or a path or a list of texts or paths, not a list with an",
        ),
    ],
)
def test_a_wrong_type_is_named_with_what_is_wanted(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        work(**arguments)


def test_right_types_pass_also_those_of_numpy() -> None:
    given = work("a", ["b", Path("c")], top=np.int64(2), limit=1, kinds="noise", set={"a.b": 1}, sizes=(1, 2), name="d")
    assert given == {"target": "a", "name": "d", "images": ["b", Path("c")], "limit": 1, "kinds": "noise"}
    assert work(limit=np.float32(0.5), kinds=("a", "b"))["limit"] == 0.5
    assert work(far=3, free="x", split="c")["target"] is None, "not read, excepted, and a text that the function checks"  # type: ignore[arg-type]


def test_a_path_becomes_a_text_where_texts_are_wanted() -> None:
    given = work(name=Path("a/b"), kinds=Path("noise"), images=Path("c"))  # type: ignore[arg-type]
    assert given == {"target": None, "name": "a/b", "kinds": "noise", "images": Path("c")}


def test_an_iterator_is_not_used_up() -> None:
    assert list(work(images=(name for name in ("a", "b")))["images"]) == ["a", "b"]


def test_other_keywords_are_checked_by_their_own_types() -> None:
    assert train(tune=True, lr="any") == {"tune": True, "lr": "any"}
    with pytest.raises(UsageError, match="tune takes True or False, not 'yes'"):
        train(tune="yes")


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (lambda: needing("a", 2), "unknown", None),
        (lambda: needing(), "needing needs the argument 'file'", None),
        (lambda: needing("a", "b", "c"), "needing takes 2 arguments without a name", "known: file, other, top"),
        (lambda: needing("a", to=3), "unknown argument 'to'", "did you mean 'top'?"),
        (lambda: train("digits"), "train takes no argument without a name", Setting("data", "digits")),
    ],
)
def test_arguments_that_a_function_does_not_have_or_needs(
    call: Callable[[], object], message: str, hint: object
) -> None:
    if message == "unknown":
        call()
        return
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert caught.value.hint == ((hint,) if hint is not None else ())


def test_methods_are_as_without_the_check_and_wrong_names_are_usage_errors() -> None:
    assert Held(top=2).top == 2
    with pytest.raises(UsageError, match="top takes a whole number"):
        Held(top="2")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown argument 'bogus'"):
        Held(bogus=1)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="Held takes no argument without a name"):
        Held(2)  # type: ignore[misc]
    assert work.__doc__ == "Return some of the arguments."
