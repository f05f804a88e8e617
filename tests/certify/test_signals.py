"""T4: a signal stops the work at any point, the exit code names it, and nothing is lost or half-written."""

import random

import pytest
from support.certification import Bench, report
from support.faults import Fault

from resnetctl.system.storage import TEMPORARY

SETS = ("epochs=4",)
FULL = (pytest.mark.certify, pytest.mark.timeout(3600))
CODES = {"SIGTERM": 143, "SIGINT": 130}
STEP = "resnetctl.engine.loop:take_step"
VALIDATE = "resnetctl.training.plan:validate"


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(("place", "nth"), [(STEP, 1), (STEP, 6), (VALIDATE, 2), ("fsync", 14), ("replace", 7)])
def test_a_signal_in_training_saves_and_resumes(bench: Bench, name: str, place: str, nth: int) -> None:
    cwd = bench.room()
    done = bench.train(cwd, SETS, fault=Fault(nth, name, call=place))
    assert done.code == CODES[name], done.output
    assert "everything is saved" in done.output
    assert "resnetctl train --resume runs/r" in done.output
    bench.finish(cwd, SETS)


@pytest.mark.parametrize("count", [4, pytest.param(50, marks=FULL)])
def test_a_signal_at_any_instant_loses_nothing(bench: Bench, count: int) -> None:
    """A signal leaves either no run, or a run that a resume finishes with the same bytes."""
    dice = random.Random(count)
    whole = bench.train(bench.room(), SETS).seconds
    codes: dict[int, int] = {}
    for number in range(count):
        cwd, name = bench.room(), ("SIGTERM", "SIGINT")[number % 2]
        done = bench.train(cwd, SETS, send=((dice.uniform(0.02, 0.9) * whole, name),), fresh=number % 10 == 9)
        codes[done.code] = codes.get(done.code, 0) + 1
        # a fresh Python that has not reached our code yet dies as any program does
        assert done.code in (0, CODES[name], *((-15, -2, 1) if number % 10 == 9 else ())), done.output
        if done.code == CODES[name]:
            assert "Traceback" not in done.output
        bench.finish(cwd, SETS)
    report("T4", signals=count, codes=codes)


def test_a_second_signal_stops_at_once(bench: Bench) -> None:
    cwd = bench.room()
    slow = {"resnetctl.training.recorder:CHECKPOINT_SECONDS": 0.0}
    done = bench.train(cwd, ("epochs=500",), send=((1.5, "SIGTERM"), (0.0, "SIGTERM")), patch=slow)
    assert done.code in (-15, 143)
    done = bench.train(bench.room(), ("epochs=500",), send=((1.5, "SIGTERM"), (0.0, "SIGKILL")))
    assert done.code in (-9, 143)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("nth", [pytest.param(2, marks=FULL), 9, pytest.param(17, marks=FULL)])
def test_a_signal_while_data_is_prepared_leaves_no_dataset(bench: Bench, name: str, nth: int) -> None:
    cwd = bench.room()
    bench.shop.environment["RESNETCTL_DATA_DIR"], before = "data", bench.shop.environment["RESNETCTL_DATA_DIR"]
    try:
        with type(bench.shop)(bench.shop.environment) as here:
            done = here.run("data", "get", "digits", cwd=cwd, fault=Fault(nth, name))
            assert (done.code, f"{name} received" in done.output) == (CODES[name], True), done.output
            assert [path.name for path in (cwd / "data").iterdir()] == []
            assert here.run("data", "get", "digits", cwd=cwd).code == 0
    finally:
        bench.shop.environment["RESNETCTL_DATA_DIR"] = before


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(
    ("argv", "place"),
    [
        (("eval", "r"), "resnetctl.tasks.evaluate:measure"),
        pytest.param(("eval", "r"), "fsync", marks=FULL),
        pytest.param(("export", "r", "--onnx"), "resnetctl.tasks.export.task:compare_batches", marks=FULL),
        (("export", "r", "--onnx"), "fsync"),
    ],
)
def test_a_signal_during_eval_and_export_leaves_no_file(
    bench: Bench, name: str, argv: tuple[str, ...], place: str
) -> None:
    cwd = bench.room()
    assert bench.train(cwd, ("epochs=1",)).code == 0
    done = bench.shop.run(*argv, cwd=cwd, fault=Fault(1, name, call=place))
    assert done.code == CODES[name], done.output
    assert f"stopped: {name} received; nothing is left half-written" in done.output
    run = cwd / "runs" / "r"
    assert not list(run.glob("eval/*")) + list(run.glob("export/*"))
    assert not list(run.rglob(TEMPORARY + "*"))
    again = bench.shop.run(*argv, cwd=cwd)
    assert again.code == 0, again.output
