"""Checks of a state dict: its keys and shapes, and that its numbers are finite."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnetctl.errors import WeightsError
from resnetctl.hints import Hint
from resnetctl.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

NAMED = 5  # keys of each kind in one error; a deep network has hundreds
Keys = Mapping[str, tuple[str, ...]]  # the shape of each key, and the one that the arch needs if it differs
NUMBER = "(0|[1-9][0-9]{0,3})"
BLOCK = re.compile(rf"(?:(?<=\.)|^)[A-Za-z_]*\.?{NUMBER}\.{NUMBER}\.")  # in a key: `layer1.0.`, `blocks.1.0.`
EVERY = 10_000  # keys of each kind for somebody who maps the names of a foreign file; no arch of ours has more


def check_keys(
    state: Mapping[str, "Tensor"],
    expected: Mapping[str, "Tensor"],
    *,
    path: Path,
    hint: Hint | Sequence[Hint] = (),
    named: int | None = NAMED,
) -> None:
    """Compare keys and shapes. Raises one `WeightsError` that names the first mismatches of each kind.

    `named` is the number of keys of each kind in the error. None names all of them; keys that differ in the number of
    their block share a line, such as `missing: layer{1..3}.{0..2}.bn.weight 16 to 64 (9 keys)`.
    """
    missing: Keys = {name: (_shape(expected[name]),) for name in expected if name not in state}
    unexpected: Keys = {name: (_shape(state[name]),) for name in sorted(state) if name not in expected}
    shapes: Keys = {
        name: (_shape(state[name]), _shape(tensor))
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    }
    count = len(missing) + len(unexpected) + len(shapes)
    if count:
        kinds = {"missing": missing, "unexpected": unexpected, "shape": shapes}
        raise WeightsError(
            f"{count} {'key does' if count == 1 else 'keys do'} not match the arch",
            where=str(path),
            problems=[line for kind, keys in kinds.items() for line in _lines(kind, keys, named)],
            hint=hint,
        )


def require_finite(state: Mapping[str, "Tensor"], path: Path) -> None:
    """Raise a `WeightsError` that lists every tensor with NaN or infinity."""
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise WeightsError(
            f"{counted(len(bad), 'tensor')} with NaN or infinity",
            where=str(path),
            problems=[f"not finite: {name}" for name in bad],
        )


def _lines(kind: str, keys: Keys, named: int | None) -> list[str]:
    """Return the lines of one kind of mismatch; `named` as in `check_keys`."""
    rows = [(name, [sizes]) for name, sizes in keys.items()] if named is not None else _by_block(keys)
    named = EVERY if named is None else named
    more = len(rows) - named
    lines = [_line(kind, name, sizes) for name, sizes in rows]
    return lines if more <= 1 else [*lines[:named], f"{kind}: {more:,} more"]


def _line(kind: str, name: str, sizes: Sequence[tuple[str, ...]]) -> str:
    first, *needed = (each[0] if len({*each}) == 1 else f"{each[0]} to {each[-1]}" for each in zip(*sizes, strict=True))
    text = f"{name} is {first}, the arch needs {needed[0]}" if needed else f"{name} {first}"
    return f"{kind}: {text}" + (f" ({counted(len(sizes), 'key')})" if len(sizes) > 1 else "")


def _by_block(keys: Keys) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return the keys with their sizes; those that differ only in the number of their block are one, without loss."""
    found: dict[tuple[str, ...], dict[str, dict[str, tuple[str, ...]]]] = {}  # name's parts -> stage -> block -> sizes
    for name, sizes in keys.items():
        block = BLOCK.search(name)
        stage, number = block.groups() if block else ("", "")
        parts: tuple[str, ...] = (name[: block.start(1)], name[block.end() :]) if block else (name,)
        found.setdefault(parts, {}).setdefault(stage, {})[number] = sizes
    rows = []
    for parts, stages in found.items():
        alike: dict[tuple[str, ...], list[str]] = {}  # blocks -> the stages that have just these
        for stage, blocks in stages.items():
            alike.setdefault((*blocks,), []).append(stage)
        for numbers, own in alike.items():
            name = parts[0] if own == [""] else f"{_braces(own)}.{_braces(numbers)}.".join(parts)
            rows.append((name, [stages[stage][number] for stage in own for number in numbers]))
    return rows


def _braces(numbers: Iterable[str]) -> str:
    """Return numbers as a shell writes them: `2`, `{0,2}`, `{0..8}`."""
    found = sorted(map(int, numbers))
    if len(found) == 1:
        return str(found[0])
    is_range = found == [*range(found[0], found[-1] + 1)]
    return f"{{{found[0]}..{found[-1]}}}" if is_range else f"{{{','.join(map(str, found))}}}"


def _shape(tensor: "Tensor") -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
