"""Checks of a state dict: its keys and shapes, and that its numbers are finite."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnetctl.errors import WeightsError
from resnetctl.hints import Hint
from resnetctl.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

NAMED = 5  # keys of each kind in one error; a deep network has hundreds
EVERY = 10_000  # keys of each kind for somebody who maps the names of a foreign file; no arch of ours has more


def check_keys(
    state: Mapping[str, "Tensor"],
    expected: Mapping[str, "Tensor"],
    *,
    path: Path,
    hint: Hint | Sequence[Hint] = (),
    named: int = NAMED,
) -> None:
    """Compare keys and shapes. Raises one `WeightsError` that names the first mismatches of each kind.

    `named` is the number of keys of each kind in the error.
    """
    missing = [f"missing: {name} {_shape(expected[name])}" for name in expected if name not in state]
    unexpected = [f"unexpected: {name} {_shape(state[name])}" for name in sorted(state) if name not in expected]
    shapes = [
        f"shape: {name} is {_shape(state[name])}, the arch needs {_shape(tensor)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    count = len(missing) + len(unexpected) + len(shapes)
    if count:
        raise WeightsError(
            f"{count} {'key does' if count == 1 else 'keys do'} not match the arch",
            where=str(path),
            problems=[line for lines in (missing, unexpected, shapes) for line in _first(lines, named)],
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


def _first(problems: list[str], named: int) -> list[str]:
    kind = problems[0].partition(":")[0] if problems else ""
    more = len(problems) - named
    return problems if more <= 1 else [*problems[:named], f"{kind}: {more:,} more"]


def _shape(tensor: "Tensor") -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
