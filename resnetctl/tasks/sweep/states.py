"""How far a group is: the state of each run, and why runs failed."""

from resnetctl.errors import ResnetctlError, WorkFailed
from resnetctl.hints import Call
from resnetctl.runs.group import Group
from resnetctl.wording import counted


def progress(group: Group) -> dict[str, int]:
    """Return how many runs are finished, failed, begun and waiting."""
    states = [state_of(group, name) for name in group.names()]
    return {state: states.count(state) for state in ("finished", "failed", "begun", "waiting")}


def state_of(group: Group, name: str) -> str:
    """Return whether a run is finished, failed, begun or waiting."""
    run = group.run(name)
    if not run.config.is_file():
        return "waiting"
    try:
        return "failed" if run.failure() is not None else "finished" if run.summary() is not None else "begun"
    except ResnetctlError:
        return "failed"


def require_success(group: Group) -> None:
    """Raise `WorkFailed` if all runs of a group have failed: no worker trains them again."""
    names = group.names()
    if not names or any(state_of(group, name) != "failed" for name in names):
        return
    show = Call("runs show", (group.path / names[0],), note="shows the first run")
    raise WorkFailed(
        f"{counted(len(names), 'run')} of the group failed, and none has finished",
        where=str(group.path),
        problems=[f"{names[0]}: {reason(group, names[0])}"],
        hint=[show, "a group of another name, with another config, trains every run again"],
    )


def reason(group: Group, name: str) -> str:
    """Return why a run failed."""
    try:
        return group.run(name).failure() or "the reason is not known"
    except ResnetctlError as error:
        return error.message
