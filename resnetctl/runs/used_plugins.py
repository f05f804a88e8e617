"""The plugins that trained a run: `env.json` has those of its start, and under `resumes` each later change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from resnetctl.registry.code import Digests
from resnetctl.spec.cards import VERSION

RESUMES = "resumes"  # the key in env.json


@dataclass(frozen=True, kw_only=True)
class UsedPlugins:
    """The version of each plugin, and digests of its code, that trained a run after `step` steps, from `epoch` on."""

    epoch: int = 1
    step: int = 0
    plugins: Mapping[str, str]
    code: Mapping[str, Digests]

    def to_json(self) -> dict[str, Any]:
        """Return an entry of `resumes`."""
        return asdict(self)


def used_plugins(environment: Mapping[str, Any]) -> list[UsedPlugins]:
    """Return what trained a run, in the order of its steps: one item for a run whose plugins never changed.

    Args:
        environment: the content of `env.json`. Parts that cannot be read are left out.
    """
    items = [_read(environment), *_resumes(environment)]
    ends = [*(item.step for item in items[1:]), None]
    return [item for item, end in zip(items, ends, strict=True) if end is None or item.step < end]


def of_epoch(items: Sequence[UsedPlugins], epoch: int) -> UsedPlugins:
    """Return what trained an epoch, or the end of it if a resume was inside."""
    return next((item for item in reversed(items) if item.epoch <= epoch), items[0])


def of_step(environment: Mapping[str, Any], step: int) -> UsedPlugins:
    """Return what trained a step, which counts from 1. Step 0 is the start: what began the run."""
    items = [_read(environment), *_resumes(environment)]
    return next((item for item in reversed(items) if item.step < step), items[0])


def with_resume(environment: Mapping[str, Any], now: UsedPlugins | None, *, step: int) -> dict[str, Any]:
    """Return the content of `env.json` for a run that goes on after `step` steps: later ones were lost.

    Args:
        now: the plugins that train from now on; None if they are those that trained before.
    """
    items = [*(item for item in _resumes(environment) if item.step < step), *([] if now is None else [now])]
    rest = {key: value for key, value in environment.items() if key != RESUMES}
    return rest | ({RESUMES: [item.to_json() for item in items]} if items else {})


def _resumes(environment: Mapping[str, Any]) -> list[UsedPlugins]:
    listed = environment.get(RESUMES)
    entries = [entry for entry in (listed if isinstance(listed, list) else []) if _is_resume(entry)]
    return [_read(entry, entry["epoch"], entry["step"]) for entry in entries]


def _is_resume(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(number := entry.get(key), int) and number >= least for key, least in (("epoch", 1), ("step", 0))
    )


def _read(values: Mapping[str, Any], epoch: int = 1, step: int = 0) -> UsedPlugins:
    plugins, code = (_table(values.get(key)) for key in ("plugins", "code"))
    return UsedPlugins(
        epoch=epoch,
        step=step,
        plugins={str(name): str(version) for name, version in plugins.items() if VERSION.fullmatch(str(version))},
        code={
            str(name): {str(file): str(one) for file, one in digest.items()}
            if isinstance(digest, dict)
            else str(digest)
            for name, digest in code.items()
        },
    )


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
