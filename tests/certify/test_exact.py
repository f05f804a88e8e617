"""Exact resume with every feature of training; T7: any order of events, T19: one writer, T20: odd batches."""

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.certification import Bench, files, report
from support.faults import Fault
from support.nets import make

from resnetctl import registry
from resnetctl.engine import checkpoint
from resnetctl.engine.loop import EpochResult, TrainState, fit

FULL = (pytest.mark.certify, pytest.mark.timeout(3600))
STEP = "resnetctl.engine.loop:take_step"
POLICIES = [entry.name for entry in registry.entries("policy") if entry.status == "available"]
PARTS = {
    "plain": (),
    "ema": ("ema_decay=0.9", "optim.name=adamw", "lr=0.003"),
    "dropout": ("model.dropout=0.3", "model.drop_path=0.3", "model.block_args.shortcut=B"),
    "early stop": ("early_stop=1", "epochs=6", "lr=0.0001"),
    "adam, clipped": ("optim.name=adam", "lr=0.003", "grad_clip=0.5", "label_smoothing=0.1", "warmup=1"),
    "last, no val": ("keep=last", "val_fraction=0"),
    "steps": ("epochs=0", "steps=7"),
}
RARE = ("early stop", "adam, clipped", "last, no val")


def check_exact_resume(bench: Bench, sets: tuple[str, ...], dice: int) -> None:
    """Kill a run in a step and in a write, with a checkpoint each step; then finish it and compare the bytes."""
    cwd = bench.room()
    always = {"resnetctl.training.recorder:CHECKPOINT_SECONDS": 0.0}
    for fault in (Fault(2 + dice % 4, "SIGKILL", call=STEP), Fault(2 + dice % 3, "SIGKILL", call="write")):
        done = bench.train(cwd, sets, fault=fault, patch=always)
        assert done.code in (0, -9), done.output
    bench.finish(cwd, sets)


@pytest.mark.parametrize("name", [pytest.param(name, marks=FULL if name in RARE else ()) for name in PARTS])
def test_resume_is_exact_with_every_feature(bench: Bench, name: str) -> None:
    check_exact_resume(bench, PARTS[name], len(name))


@pytest.mark.parametrize("policy", [POLICIES[0], *(pytest.param(name, marks=FULL) for name in POLICIES[1:])])
def test_resume_is_exact_with_every_installed_policy(bench: Bench, policy: str) -> None:
    check_exact_resume(bench, (f"augment={policy}", "epochs=2"), len(policy))


@pytest.mark.parametrize(
    "freeze", [pytest.param("none", marks=FULL), "backbone", pytest.param("stem,layer1", marks=FULL)]
)
def test_resume_is_exact_for_finetune_with_frozen_layers(bench: Bench, freeze: str) -> None:
    first = bench.room()
    assert bench.train(first, ("epochs=1",)).code == 0
    weights = first / "runs" / "r" / "model.safetensors"
    check_exact_resume(bench, (f"weights={weights}", f"freeze={freeze}", "epochs=2", "ema_decay=0.5"), len(freeze))


def test_finetune_killed_before_its_first_step_can_be_resumed(bench: Bench) -> None:
    """The run folder never exists without the checkpoint of step 0, which a finetune run needs to begin."""
    first = bench.room()
    assert bench.train(first, ("epochs=1",)).code == 0
    sets = (f"weights={first / 'runs' / 'r' / 'model.safetensors'}", "epochs=1")
    for call in ("rename", "symlink", STEP):
        cwd = bench.room()
        assert bench.train(cwd, sets, fault=Fault(1, "SIGKILL", call=call)).code == -9
        bench.finish(cwd, sets)


@pytest.mark.certify
def test_an_extension_that_was_killed_can_be_repeated(bench: Bench) -> None:
    def extended(fault: Fault | None) -> tuple[bytes, bytes]:
        cwd = bench.room()
        assert bench.train(cwd, ("epochs=1",)).code == 0
        again = ("train", "--resume", "r", "--epochs", "3")
        done = bench.shop.run(*again, cwd=cwd, fault=fault)
        if fault is not None:
            assert done.code == -9
            done = bench.shop.run(*again, cwd=cwd)
        assert done.code == 0, done.output
        assert (cwd / "runs" / "r" / "metrics.jsonl").read_text().count("\n") == 3
        return files(cwd)

    whole = extended(None)
    for nth in (1, 3, 9):
        assert extended(Fault(nth, "SIGKILL")) == whole


class Trainer(RuleBasedStateMachine):
    """Steps, saves, kills, resumes and evaluations in any order always give the states of one uninterrupted run."""

    steps = 14
    whole: list[tuple[int, bytes]]

    @initialize(count=st.integers(5, 9), ema=st.sampled_from([0.0, 0.8]))
    def begin(self, count: int, ema: float) -> None:
        self.kind = {"count": count, "steps": self.steps, "ema": ema, "dropout": 0.2}
        state, plan = make(**self.kind)
        self.expected = {0: bytes_of(state)}
        for _ in fit(state, plan):
            self.expected[state.step] = bytes_of(state)
        self.saved: bytes | None = None
        self.fresh()

    def fresh(self) -> None:
        self.state, plan = make(**self.kind)
        if self.saved is not None:
            checkpoint.restore(self.state, checkpoint.from_bytes(self.saved))
        self.facts = fit(self.state, plan)

    @rule(facts=st.integers(1, 6))
    def train(self, facts: int) -> None:
        for fact in itertools.islice(self.facts, facts):
            assert fact.step == self.state.step if isinstance(fact, EpochResult) else True

    @rule()
    def save(self) -> None:
        self.saved = checkpoint.to_bytes(self.state, {})

    @rule()
    def kill_and_resume(self) -> None:
        self.fresh()

    @precondition(lambda self: self.saved is not None)
    @rule()
    def save_what_was_restored(self) -> None:
        self.fresh()
        assert checkpoint.to_bytes(self.state, {}) == self.saved

    @rule()
    def evaluate(self) -> None:
        self.state.shipped.eval()

    @invariant()
    def is_the_whole_run(self) -> None:
        if hasattr(self, "expected") and not self.state.sums.images % 10:
            return
        if hasattr(self, "expected"):
            assert bytes_of(self.state) == self.expected[self.state.step]


def bytes_of(state: TrainState) -> bytes:
    """Return network, EMA and optimizer as bytes: the state between two steps."""
    tensors = checkpoint.from_bytes(checkpoint.to_bytes(state, {})).tensors
    kept = sorted(name for name in tensors if name.startswith(("model/", "ema/", "optimizer/")))
    return b"".join(tensors[name].contiguous().numpy().tobytes() for name in kept)


@pytest.mark.parametrize("runs", [20, pytest.param(300, marks=FULL)])
def test_t7_any_order_of_events_gives_the_same_states(runs: int) -> None:
    kind = settings(max_examples=runs, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Trainer, settings=kind)  # type: ignore[no-untyped-call]
    report("T7", runs=runs)


@pytest.mark.parametrize("starts", [5, pytest.param(30, marks=FULL)])
def test_t19_a_run_has_one_writer(bench: Bench, starts: int) -> None:
    """One process holds the run; every other exits 2 at once. A killed holder leaves no lock."""
    cwd = bench.room()
    sets = ("epochs=3",)
    bench.reference(sets)
    holder = "import sys, time\nfrom pathlib import Path\nfrom resnetctl.runs import RunDir\n"
    holder += "with RunDir(Path('runs/r')).locked():\n print('held', flush=True)\n time.sleep(600)\n"
    assert bench.train(cwd, sets, fault=Fault(4, "SIGKILL", call=STEP)).code == -9
    with subprocess.Popen([sys.executable, "-c", holder], cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        before = tree(cwd)
        for number in range(starts):
            done = bench.train(cwd, sets, fresh=number % 10 == 4)
            assert (done.code, "in use by another process" in done.output) == (2, True), done.output
        assert tree(cwd) == before
        process.kill()
    bench.finish(cwd, sets)
    report("T19", starts=starts, refused=starts)


def test_t19_one_of_several_starts_under_one_name_wins(bench: Bench) -> None:
    """Several may pass the first check; the rename lets one through, and the others report that the run exists."""
    cwd = bench.room()
    with ThreadPoolExecutor(3) as pool:
        words = bench.start(("epochs=1",))
        done = list(pool.map(lambda _: bench.shop.run(*words, cwd=cwd, fresh=True), range(3)))
    assert sorted(outcome.code for outcome in done) == [0, 2, 2]
    assert files(cwd) == bench.reference(("epochs=1",))


def tree(cwd: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in (cwd / "runs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("policy", ["poison", "endless"])
def test_t20_a_pixel_that_is_not_finite_never_reaches_a_checkpoint(bench: Bench, policy: str) -> None:
    done = bench.train(cwd := bench.room(), (f"augment={policy}", "epochs=3"))
    assert done.code == 1
    assert f"step 7: the policy '{policy}' made pixels" in done.output
    assert "image train row" in done.output
    for path in (cwd / "runs" / "r" / "checkpoints").iterdir():
        snapshot = checkpoint.from_bytes(path.read_bytes())
        assert all(bool(value.isfinite().all()) for value in snapshot.tensors.values() if value.is_floating_point())
        assert snapshot.step <= 6


@pytest.mark.parametrize(
    "sets", [("batch_size=53",), *(pytest.param((f"batch_size={size}",), marks=FULL) for size in (100, 2, 18))]
)
def test_t20_resume_is_exact_with_an_odd_last_batch(bench: Bench, sets: tuple[str, ...]) -> None:
    """54 images: a last batch of one image is left out, and a batch larger than the data is the data."""
    check_exact_resume(bench, (*sets, "epochs=2"), 1)
