"""Captured steps give the bits of eager steps. `support.tape` stands in for CUDA graphs and keeps numbers of Python."""

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.nets import CPU, ImageList, image_set, make
from support.tape import Tape
from torch.nn.functional import one_hot

from resnetctl import registry
from resnetctl.config.schema import TrainConfig
from resnetctl.data import policies
from resnetctl.data.loader import Feed
from resnetctl.data.preprocess import flip_all
from resnetctl.engine import checkpoint, graph
from resnetctl.engine.graph import Captured, why_eager
from resnetctl.engine.loop import Plan, StepResult, TrainState, fit
from resnetctl.engine.optim import build_optimizer
from resnetctl.spec import Batch, ImageSpec, Transform

SPEC = ImageSpec(size=8, channels=1, mean=(0.5,), std=(0.25,))
STEPS = 50  # of three an epoch: batches of 4, 4 and 2
POLICIES = [
    entry.name for entry in registry.all_entries() if (entry.kind, entry.distribution) == ("policy", "resnetctl")
]
WHOLE: dict[str, Any] = {"dropout": 0.1, "ema": 0.9, "grad_clip": 0.5, "label_smoothing": 0.1}


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirror as on a GPU: the way of the CPU has shapes that depend on numbers."""
    monkeypatch.setattr(policies, "flip", flip_all)


@pytest.fixture
def tapes() -> list[Tape]:
    return []


def policy(name: str) -> Transform:
    transform: Transform = registry.get("policy", name).build(SPEC, 3)
    return transform


def start(augment: Transform, *, optim: str = "sgd", **options: Any) -> tuple[TrainState, Plan]:
    """Return a run with a warm-up; its images are resized, and mirrored in every other epoch."""
    options = {"image": SPEC, "augment": augment, "steps": STEPS, **options}
    state, plan = make(feed=Feed(ImageList(**vars(image_set())), SPEC, CPU), **options)
    if optim != "sgd":
        state.optimizer = build_optimizer(state.model, TrainConfig(optim={"name": optim}), head=())
    return state, plan


def captured(plan: Plan, tapes: list[Tape], *, level: Any = "step") -> Plan:
    def capture() -> contextlib.AbstractContextManager[Tape]:
        tapes.append(Tape())
        return tapes[-1].capture()

    return dataclasses.replace(plan, stepper=partial(Captured, level=level, capture=capture))


def trained(state: TrainState, plan: Plan) -> tuple[bytes, list[float], list[str]]:
    """Train to the end. Return a checkpoint, the losses, which are read at the end, and the notes."""
    facts = [fact for fact in fit(state, plan) if isinstance(fact, StepResult)]
    return checkpoint.to_bytes(state, {}), [fact.loss.item() for fact in facts], [fact.note for fact in facts]


def both(begin: Callable[[], tuple[TrainState, Plan]], tapes: list[Tape], *, level: str = "step") -> bool:
    """Return whether captured steps end in the checkpoint and had the losses of eager ones."""
    eager = trained(*begin())
    state, plan = begin()
    result = trained(state, captured(plan, tapes, level=level))
    assert set(result[2]) == {""}
    return result[:2] == eager[:2]


@pytest.mark.parametrize("name", POLICIES)
def test_captured_steps_with_a_policy_of_the_core_are_bit_equal(name: str, tapes: list[Tape]) -> None:
    assert both(partial(start, policy(name), **WHOLE), tapes)
    assert [tape.replays for tape in tapes] == [33, 15]  # the first step of each size is eager


def test_a_policy_may_stay_eager(tapes: list[Tape]) -> None:
    assert both(partial(start, policy("standard"), **WHOLE), tapes, level="network")
    assert [tape.replays for tape in tapes] == [33, 15]


def test_a_policy_that_changes_with_the_epoch_may_stay_eager(tapes: list[Tape]) -> None:
    def mixed(batch: Batch) -> Batch:
        batch = policy("standard")(batch)
        targets = one_hot(batch.targets, 3).float()
        return dataclasses.replace(batch, targets=0.5 * (targets + targets.flip(0))) if batch.epoch % 2 else batch

    assert both(partial(start, mixed), tapes, level="network")
    assert len(tapes) == 4  # classes and shares, whole and small batches


@pytest.mark.parametrize("optim", ["adam", "adamw"])
def test_adam_is_captured(optim: str, tapes: list[Tape]) -> None:
    assert both(partial(start, policy("standard"), optim=optim, class_weights=torch.tensor([1.0, 4.0, 0.5])), tapes)


def test_bf16_is_captured(tapes: list[Tape]) -> None:
    assert both(partial(start, policy("standard"), precision="bf16", steps=12), tapes)


def test_images_that_grow_have_graphs_of_their_own(tapes: list[Tape]) -> None:
    assert both(partial(start, policy("standard"), side=lambda step: 4 if step < 20 else 8), tapes)
    assert len(tapes) == 4


def test_a_thaw_forgets_the_graphs(tapes: list[Tape]) -> None:
    def begin() -> tuple[TrainState, Plan]:
        state, plan = start(policy("standard"), thaw_step=20)
        state.frozen = tuple(state.model[:2])
        groups = [[*state.model[:2].parameters()], [*state.model[2:].parameters()]]
        for module in state.frozen:
            module.requires_grad_(False)
        settings = [{"params": group, "lr_scale": scale} for group, scale in zip(groups, (0.5, 1.0), strict=True)]
        state.optimizer = torch.optim.SGD(settings, lr=0.1, momentum=0.9, fused=True)
        return state, plan

    assert both(begin, tapes)
    assert len(tapes) == 4


@pytest.mark.parametrize("stop", [1, 25])
def test_a_resume_captures_again_and_ends_in_the_same_bytes(stop: int, tapes: list[Tape]) -> None:
    whole = trained(*start(policy("standard"), **WHOLE))
    state, plan = start(policy("standard"), **WHOLE)
    facts = fit(state, captured(plan, tapes))
    while state.step < stop:
        next(facts)
    snapshot = checkpoint.from_bytes(checkpoint.to_bytes(state, {}))
    again, plan = start(policy("standard"), **WHOLE)
    checkpoint.restore(again, snapshot)
    assert trained(again, captured(plan, tapes))[0] == whole[0]


def test_an_epoch_that_is_a_number_is_found(monkeypatch: pytest.MonkeyPatch, tapes: list[Tape]) -> None:
    """The test of this file, tested: mirroring stays as it was in the capture."""
    fill = Captured._fill

    def forgetful(self: Any, epoch: int) -> float:
        self._epoch = torch.tensor(0)
        lr = fill(self, epoch)
        self._epoch = epoch
        return lr

    monkeypatch.setattr(Captured, "_fill", forgetful)
    assert not both(partial(start, policy("standard")), tapes)


def test_a_learning_rate_that_is_a_number_is_found(monkeypatch: pytest.MonkeyPatch, tapes: list[Tape]) -> None:
    monkeypatch.setattr(graph, "rates_from", lambda optimizer, rates: contextlib.nullcontext())
    assert not both(partial(start, policy("none")), tapes)


def test_a_loss_that_is_not_copied_is_found(monkeypatch: pytest.MonkeyPatch, tapes: list[Tape]) -> None:
    monkeypatch.setattr(torch.Tensor, "clone", lambda self, **_: self)
    state, plan = start(policy("none"))
    losses = [fact.loss for fact in fit(state, captured(plan, tapes)) if isinstance(fact, StepResult)]
    assert len({loss.item() for loss in losses}) == 1


def reading(batch: Batch) -> Batch:
    return policy("standard")(batch) if int(batch.epoch) % 2 else policy("none")(batch)


def test_a_step_that_cannot_be_captured_runs_eagerly_and_says_so_once(tapes: list[Tape]) -> None:
    eager = trained(*start(reading, **WHOLE))
    state, plan = start(reading, **WHOLE)
    result = trained(state, captured(plan, tapes))
    assert result[:2] == eager[:2]
    assert [note for note in result[2] if note] == [
        "the step cannot be captured as a CUDA graph, so it runs eagerly: a captured step reads a number"
    ]
    assert len(tapes) == 1


@pytest.mark.parametrize("error", [RuntimeError("the cause"), torch.OutOfMemoryError("full")])
def test_the_error_of_the_work_is_told_and_not_that_of_the_end_of_its_capture(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tapes: list[Tape]
) -> None:
    """As on CUDA: the end of a capture that failed raises an error of its own."""

    @contextlib.contextmanager
    def capture(tape: Tape) -> Iterator[Tape]:
        try:
            yield tape
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    state, plan = start(policy("none"))
    facts = fit(state, captured(plan, tapes))
    next(facts)
    monkeypatch.setattr(Tape, "capture", capture)
    monkeypatch.setattr(graph.Captured, "_work", lambda *_, **__: (_ for _ in ()).throw(error))
    if isinstance(error, torch.OutOfMemoryError):
        with pytest.raises(torch.OutOfMemoryError, match="full"):
            next(facts)
    else:
        step = next(facts)
        assert isinstance(step, StepResult)
        assert step.note.endswith("so it runs eagerly: the cause")


def test_a_capture_without_memory_fails(monkeypatch: pytest.MonkeyPatch, tapes: list[Tape]) -> None:
    state, plan = start(policy("none"))
    facts = fit(state, captured(plan, tapes))
    next(facts)
    monkeypatch.setattr(Tape, "capture", lambda self: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    with pytest.raises(torch.OutOfMemoryError):
        next(facts)


CUDA = torch.device("cuda")


@pytest.fixture
def fitting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "fits", lambda images, device: True)


def level(config: TrainConfig, *, augment: Transform | None = None, device: torch.device = CPU) -> tuple[str, str]:
    augment, images = augment or policy("standard"), np.zeros((2, 8, 8, 1), np.uint8)
    return graph.level(config, augment, image=SPEC, device=device, images=images)


@pytest.mark.parametrize(
    ("config", "expected", "reason"),
    [
        ({}, "step", ""),
        ({"graph": "step"}, "step", ""),
        ({"graph": "network"}, "network", ""),
        ({"graph": "off"}, "off", ""),
        ({"precision": "fp16"}, "off", "fp16"),
        ({"shards": 2}, "off", "shards"),
        ({"accumulate": 2}, "off", "accumulated"),
        ({"accumulate": 2, "graph": "step"}, "off", "accumulated"),
        ({"distill": {"teacher": "x"}}, "off", "teacher"),
        ({"model": {"head": "ssd"}}, "off", "head 'ssd'"),
        ({"model": {"block": "basic"}}, "step", ""),
        ({"model": {"block": "se_basic"}}, "off", "block 'se_basic' does not say that it is capturable"),
        ({"model": {"block": "speed"}}, "step", ""),
        ({"objective": {"name": "gce"}}, "off", "objective 'gce'"),
        ({"optim": {"name": "adamw"}, "ema_decay": 0.9, "grad_clip": 1, "precision": "bf16"}, "step", ""),
    ],
)
def test_the_level_follows_from_the_config(config: dict[str, Any], expected: str, reason: str, fitting: None) -> None:
    chosen, why = level(TrainConfig(**config), device=CUDA)
    assert chosen == expected
    assert (reason in why) if reason else not why
    assert level(TrainConfig(**config)) == ("off", "")


def test_a_policy_that_reads_stays_eager_and_its_line_is_named(fitting: None) -> None:
    chosen, why = level(TrainConfig(), augment=reading, device=CUDA)
    assert chosen == "network"
    assert why.startswith("the policy runs eagerly: it reads a number of a tensor (at test_graph.py:")


def test_a_policy_that_is_not_capturable_stays_eager(fitting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    unwilling = dataclasses.replace(registry.get("policy", "standard"), capturable=False)
    monkeypatch.setattr(registry, "get", lambda kind, name: unwilling)
    assert level(TrainConfig(), device=CUDA) == (
        "network",
        "the policy runs eagerly: policy 'standard' is not capturable",
    )


def test_images_that_come_from_the_cpu_are_not_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "fits", lambda images, device: False)
    assert level(TrainConfig(), device=CUDA)[0] == "network"
    feed: Any = SimpleNamespace(device=CUDA, is_resident=False)
    chosen: Any = graph.stepper("step", feed)
    assert chosen.keywords["level"] == "network"


def test_only_cuda_has_a_stepper() -> None:
    on_gpu, on_cpu = (SimpleNamespace(device=device, is_resident=True) for device in (CUDA, CPU))
    chosen: Any = graph.stepper("step", on_gpu)  # type: ignore[arg-type]
    assert chosen.keywords["level"] == "step"
    assert graph.stepper("off", on_gpu) is graph.stepper("step", on_cpu) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["muon", "schedule-free-sgd", "schedule-free-adamw"])
def test_an_optimizer_of_a_plugin_is_captured_if_its_groups_say_so(
    name: str, fitting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(optim={"name": name})
    assert level(config, device=CUDA) == ("off", f"optimizer '{name}' does not say that it is capturable")
    willing = SimpleNamespace(param_groups=[{"capturable": True}])
    monkeypatch.setattr(graph, "build_optimizer", lambda *_, **__: willing)
    assert level(config, device=CUDA) == ("step", "")


def flipped(batch: Batch, *, chance: Callable[[Batch], Any]) -> Batch:
    return dataclasses.replace(batch, images=batch.images.flip(3)) if chance(batch) < 0.5 else batch


@pytest.mark.parametrize(
    ("chance", "reason"),
    [
        (lambda batch: batch.epoch, "reads a number"),
        (lambda batch: int(batch.step) % 2, "reads a number"),
        (lambda batch: batch.images[0, 0, 0, 0].item(), "reads a number"),
        (lambda batch: torch.rand((), device=batch.images.device), "reads a number"),
        (lambda batch: len(batch.targets.nonzero()), "shape of a result depends on numbers"),
        (lambda batch: torch.rand(()), "draws on the CPU"),
        (lambda batch: torch.tensor(0.1), "reads a number"),
        (lambda batch: len(torch.tensor([1, 2]).to(batch.images.device)), "copies between"),
        (lambda batch: random.random(), "random"),
        (lambda batch: np.random.rand(), "random"),
    ],
)
def test_what_a_graph_would_keep_from_its_capture_is_found(chance: Callable[[Batch], Any], reason: str) -> None:
    found = why_eager(partial(flipped, chance=chance), SPEC)
    assert reason in found
    assert "test_graph.py:" in found or "random" in reason


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_of_the_core_can_be_captured(name: str) -> None:
    assert why_eager(policy(name), SPEC) == ""


def test_graphs_are_captured_on_a_stream_of_their_device_and_give_the_old_one_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captured_on: list[object] = []
    streams, devices = ["own"], []

    @contextlib.contextmanager
    def stream(new: str) -> Iterator[None]:
        streams.append(new)
        yield
        streams.remove(new)

    @contextlib.contextmanager
    def within(device: torch.device) -> Iterator[None]:
        devices.append(str(device))
        yield

    @contextlib.contextmanager
    def graphed(_: object, *, stream: object) -> Iterator[None]:
        captured_on.append(stream)
        streams.append("capture")
        yield
        streams.remove("capture")

    monkeypatch.setattr(torch.cuda, "device", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: streams[0])
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: f"of {device}")
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "graph", graphed)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", SimpleNamespace)
    capture = graph.cuda_capture(torch.device("cuda:1"))
    made = []
    for _ in range(2):
        with capture() as one:
            made.append(one)
    assert made[0] is not made[1]
    assert captured_on == ["of cuda:1"] * 2
    assert devices == ["cuda:1"] * 2
    assert streams == ["own"]
