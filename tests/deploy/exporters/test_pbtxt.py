"""The text format of protobuf is written and parsed back."""

import pytest

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
