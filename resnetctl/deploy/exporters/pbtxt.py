"""Protobuf's text format, as far as `config.pbtxt` of Triton needs it: write it, and parse it back.

Format: protobuf.dev/reference/protobuf/textformat-spec. A message is a list of (name, value). A value is a number, a
text, a `Word` (the name of an enum's member), a list of numbers, or a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

TOKEN = re.compile(r'\s*(?:"((?:[^"\\\n]|\\.)*)"|(-?\d+)|([A-Za-z_]\w*)|([{}\[\]:,]))')
Message = Sequence[tuple[str, Any]]


class Word(str):
    """The name of an enum's member, written without quotes."""


def write(message: Message, *, indent: str = "") -> str:
    """Return a message as text, one field a line."""
    return "".join(f"{indent}{name}{_written(value, indent)}\n" for name, value in message)


def _written(value: Any, indent: str) -> str:
    if isinstance(value, Word | int):
        return f": {value}"
    if isinstance(value, str):
        return f": {json.dumps(value)}"
    if all(isinstance(item, int) for item in value):
        return f": [{', '.join(map(str, value))}]"
    return f" {{\n{write(value, indent=indent + '  ')}{indent}}}"


def parse(text: str) -> list[tuple[str, Any]]:
    """Return the fields of a text, in its order. Raises `ValueError` for anything that `write` does not write."""
    tokens, at = [], 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"'{text[at : at + 20].strip()}' is no text format of protobuf")
        tokens.append(match)
        at = match.end()
    fields, rest = _fields(tokens, 0, end="")
    assert rest == len(tokens), "the outer message ends with the text"
    return fields


def _fields(tokens: list[re.Match[str]], at: int, *, end: str) -> tuple[list[tuple[str, Any]], int]:
    fields = []
    while at < len(tokens) and tokens[at][4] != "}":
        name, sign = tokens[at][3], tokens[at + 1][4] if at + 1 < len(tokens) else None
        if not name or sign not in (":", "{"):
            raise ValueError(f"'{tokens[at][0].strip()}' is no field")
        value, at = _message(tokens, at + 2) if sign == "{" else _value(tokens, at + 2)
        fields.append((name, value))
    if (at < len(tokens)) != bool(end):
        raise ValueError("a brace is missing, or there is one too many")
    return fields, at


def _message(tokens: list[re.Match[str]], at: int) -> tuple[Any, int]:
    fields, at = _fields(tokens, at, end="}")
    return fields, at + 1


def _value(tokens: list[re.Match[str]], at: int) -> tuple[Any, int]:
    if at >= len(tokens):
        raise ValueError("the last field has no value")
    text, number, word, sign = tokens[at].groups()
    if text is not None:
        return json.loads(f'"{text}"'), at + 1
    if number is not None:
        return int(number), at + 1
    if word is not None:
        return Word(word), at + 1
    if sign != "[":
        raise ValueError(f"'{sign}' is no value")
    end = next((place for place in range(at, len(tokens)) if tokens[place][4] == "]"), None)
    if end is None or any(item[2] is None and item[4] != "," for item in tokens[at + 1 : end]):
        raise ValueError("a list of numbers has no end")
    return [int(item[2]) for item in tokens[at + 1 : end] if item[2] is not None], end + 1
