"""T21: after a power cut only fsynced data is certain. In every state of the disk the newest checkpoint can be loaded.

The model is that of ALICE (Pillai et al., OSDI 2014): file data counts from its fsync, names from the fsync of their
folder; each later operation may have reached the disk or not, in any order, and unsynced data may be cut in half.
"""

import itertools
import random
from pathlib import Path

import pytest
from support.certification import report
from support.faults import Hook
from support.nets import make

from resnetctl import runs
from resnetctl.engine import checkpoint
from resnetctl.engine.loop import EpochResult, fit
from resnetctl.training.newest_checkpoint import newest

FULL = (pytest.mark.certify, pytest.mark.timeout(3600))
Event = tuple[str, str, object]


def durable_calls(folder: Path) -> list[Event]:
    """Return the durable calls of a run of four epochs."""
    folder.mkdir()
    run = runs.create(folder, "r", config="epochs = 4\n", sources={}, env={})
    state, plan = make(steps=12)
    with Hook(folder).installed() as hook:
        for fact in fit(state, plan):
            if isinstance(fact, EpochResult):
                run.log({"epoch": fact.epoch}, {"epoch": fact.epoch})
                run.save_weights(b"weights %d" % fact.epoch)
                run.checkpoints.save(state.step, checkpoint.to_bytes(state, {}))
                hook.trace.append(("epoch", str(folder / "r" / "metrics.jsonl"), fact.epoch))
    return hook.trace


def disk_after(trace: list[Event], dice: random.Random) -> dict[str, bytes]:
    """Return one state of the disk that a power cut after `trace` may leave."""
    disk: dict[str, bytes] = {}
    synced: dict[str, int] = {}  # bytes of a file that are certain
    waiting: list[tuple[str, str, str]] = []  # renames and removals whose folder was not fsynced since
    for call, path, more in trace:
        if call == "made":
            disk[path] = b""
        elif call == "write":
            disk[path] = disk.get(path, b"") + more[1]  # type: ignore[index]
        elif call == "fsync" and path in disk:
            synced[path] = len(disk[path])
        elif call == "fsync":
            for kind, source, target in [item for item in waiting if Path(item[1]).parent == Path(path)]:
                carry_out(kind, source, target, disk=disk, synced=synced)
                waiting.remove((kind, source, target))
        elif call == "replace":
            source = str(Path(more[0]).absolute())  # type: ignore[index]
            waiting.append(("replace", source, path))
        elif call == "unlink":
            waiting.append(("unlink", path, ""))
    for kind, source, target in dice.sample(waiting, dice.randint(0, len(waiting))):
        carry_out(kind, source, target, disk=disk, synced=synced)
    return {path: data[: dice.randint(synced.get(path, 0), len(data))] for path, data in disk.items()}


def carry_out(kind: str, source: str, target: str, *, disk: dict[str, bytes], synced: dict[str, int]) -> None:
    data = disk.pop(source, None)
    if kind == "replace" and data is not None:
        disk[target] = data
        synced[target] = synced.pop(source, 0)


@pytest.mark.parametrize("states", [60, pytest.param(500, marks=FULL)])
def test_t21_a_power_cut_loses_no_finished_epoch(tmp_path: Path, states: int) -> None:
    trace = durable_calls(tmp_path / "live")
    assert sum(call == "fsync" for call, _, _ in trace) > 20
    dice, worst = random.Random(21), 0
    cuts = [round(place * len(trace) / states) for place in range(states)]
    for number, cut in enumerate(cuts):
        before = trace[:cut]
        epochs = max((int(str(more)) for call, _, more in before if call == "epoch"), default=0)
        run = runs.RunDir(tmp_path / "cut" / str(number))
        (run.path / "checkpoints").mkdir(parents=True)
        for path, data in disk_after(before, dice).items():
            place = run.path / Path(path).relative_to(tmp_path / "live" / "r")
            place.write_bytes(data)
        snapshot = newest(run).snapshot
        assert (snapshot.epochs if snapshot else 0) >= epochs, f"state {number}: a finished epoch is lost"
        lines = run.metrics()
        assert [line["epoch"] for line in lines[: snapshot.epochs if snapshot else 0]] == list(
            range(1, (snapshot.epochs if snapshot else 0) + 1)
        )
        worst = max(worst, len(lines) - (snapshot.epochs if snapshot else 0))
    assert worst <= 1
    report("T21", states=states, calls=len(trace))


def test_the_model_detects_a_missing_fsync(tmp_path: Path) -> None:
    """Without its fsyncs the same trace loses checkpoints, so the test above can fail."""
    trace = [event for event in durable_calls(tmp_path / "live") if event[0] != "fsync"]
    dice = random.Random(0)
    lost = 0
    for _ in itertools.repeat(None, 30):
        kept = {path: data for path, data in disk_after(trace, dice).items() if "checkpoints" in path}
        whole = 0
        for data in kept.values():
            try:
                checkpoint.from_bytes(data)
                whole += 1
            except Exception:
                continue
        lost += whole == 0
    assert lost > 0
