"""`data list|get|add|show|check|remove`."""

from typing import TYPE_CHECKING, Any

from resnetctl.cli import out, render
from resnetctl.cli.command import Command, Given, Group
from resnetctl.cli.options import (
    Common,
    DataAddOptions,
    DataCheckOptions,
    DataGetOptions,
    DataNameOptions,
    DataShowOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMMAND = Group(
    name="data",
    summary="Image data: read once into the store, then used by name.",
    members={},
)
