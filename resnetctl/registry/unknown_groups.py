"""Groups of entry points that look like one of ours and are none: a misspelt group hides all its entries."""

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from resnetctl.hints import nearest
from resnetctl.registry.declared import installed_sources, is_named, not_installed, sources_here
from resnetctl.registry.folders import PROJECT, install_line
from resnetctl.registry.kinds import KINDS, Kind
from resnetctl.registry.metadata import CORE

ALIKE = 0.9  # of a group with another prefix, such as resnectl.blocks


@dataclass(frozen=True, kw_only=True)
class UnknownGroup:
    """A group of a distribution that no kind has, and the names in it. `folder` has its pyproject, if one is known."""

    distribution: str
    group: str
    names: tuple[str, ...]
    folder: Path | None

    @property
    def hints(self) -> list[str]:
        """The advice for somebody who looks for one of the names."""
        line = [] if self.folder is None else [f"correct {self.folder / PROJECT}, then {install_line(self.folder)}"]
        return [str(self), *line]

    def __str__(self) -> str:
        meant = group_meant(self.group)
        advice = f"did you mean {meant}?" if meant else f"known: {', '.join(row.group for row in KINDS.values())}"
        return f"{self.distribution} declares the unknown group {self.group}: {advice}"


def unknown_groups(name: str = "", *, here: bool = False) -> list[UnknownGroup]:
    """Return the unknown groups of distributions that may be used: all, or those that have a name.

    `name` and `here` are as in `not_installed`.
    """
    return [
        UnknownGroup(distribution=source.distribution, group=group, names=tuple(points), folder=source.folder)
        for source in chain(installed_sources(), sources_here() if here else ())
        for group, points in source.groups.items()
        if _is_misspelt(group) and any(is_named(name, point, distribution=source.distribution) for point in points)
    ]


def group_meant(group: str) -> str:
    """Return the known group that is nearest to a misspelt one; "" when none is near."""
    last = group.rpartition(".")[2].lower().removeprefix(CORE).strip("_-")
    plurals = {word: row.group for row in KINDS.values() for word in (row.name, row.plural)}
    return plurals.get(nearest(last, plurals) or "", "")


def declared_hints(name: str, kind: Kind | None = None) -> list[str]:
    """Return what makes an unknown name known: its plugin is not installed again, or not at all, or misspells a group.

    Looks at editable plugins, at the folders here, and at the groups that no kind has.
    """
    bare = name.rpartition(":")[2]
    groups = ["", *(KINDS[one].group for one in (KINDS if kind is None else [kind]))]
    waiting = [one.hint for one in not_installed(name, kind, here=True) if one.name == bare]
    misspelt = [
        one for one in unknown_groups(name, here=True) if bare in one.names and group_meant(one.group) in groups
    ]
    return [*waiting, *chain.from_iterable(one.hints for one in misspelt)]


def _is_misspelt(group: str) -> bool:
    known = [row.group for row in KINDS.values()]
    if group in known:
        return False
    small = group.lower()
    is_ours = small.startswith(CORE) and not small[len(CORE) : len(CORE) + 1].isalnum()
    return is_ours or bool(get_close_matches(small, known, n=1, cutoff=ALIKE))
