"""The text format of protobuf is written and parsed back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.deploy.exporters.pbtxt import Word, parse, write

MESSAGE = [
    ("backend", "onnxruntime"),
    ("max_batch_size", 64),
    ("input", [("name", 'a "quoted"\nname'), ("data_type", Word("TYPE_FP32")), ("dims", [3, -1, 8])]),
    ("empty", ""),
]


def test_a_message_reads_back_equal() -> None:
    assert parse(write(MESSAGE)) == MESSAGE


def test_the_text_is_that_of_protobuf() -> None:
    assert write(MESSAGE[2:3]).splitlines() == [
        "input {",
        '  name: "a \\"quoted\\"\\nname"',
        "  data_type: TYPE_FP32",
        "  dims: [3, -1, 8]",
        "}",
    ]


@pytest.mark.parametrize(
    "text",
    ["input {", "}", "name", "name:", 'name: "open', "dims: [1, 2", "dims: [a]", ": 3", "name: }", "a: 1 ?", "a [1]"],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
VALUES = st.recursive(
    TEXTS | st.integers() | NAMES.map(Word) | st.lists(st.integers(), min_size=1, max_size=4),
    lambda inner: st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_any_message_reads_back_equal(message: list[tuple[str, Any]]) -> None:
    again = parse(write(message))
    assert again == message
    assert [type(value) for _, value in again] == [type(value) for _, value in message]


@given(st.text('a1:{}[],"\\ -\n', max_size=16))
def test_no_text_ends_in_another_error(text: str) -> None:
    try:
        again = parse(text)
    except ValueError:
        return
    assert parse(write(again)) == again


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", []),
        ("  \n ", []),
        ("a: 1 b: -2", [("a", 1), ("b", -2)]),
        ("a { }", [("a", [])]),
        ("a { b { c: X } } d: 2", [("a", [("b", [("c", Word("X"))])]), ("d", 2)]),
        ("a: [1,-2 , 3]", [("a", [1, -2, 3])]),
        ("a: 1 a: 2", [("a", 1), ("a", 2)]),
    ],
)
def test_fields_repeat_and_nest_and_space_is_free(text: str, message: list[tuple[str, Any]]) -> None:
    assert parse(text) == message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("input {", "a brace is missing"),
        ("}", "one too many"),
        ("name:", "has no value"),
        ("name: }", "'}' is no value"),
        ("dims: [1, 2", "has no end"),
        ("a: 1 ?", "no text format"),
        ("a [1]", "'a' is no field"),
    ],
)
def test_the_error_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)
