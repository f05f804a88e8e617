"""Facts before the first step: `Started`, notices on unusual settings, the estimate."""

import dataclasses

import pytest
from support.jobs import job
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.blocks import BasicBlock
from resnetctl.engine.loop import EpochResult
from resnetctl.engine.metrics import EvalReport
from resnetctl.facts import Doing
from resnetctl.hints import Call, Setting
from resnetctl.training import notices as remarking
from resnetctl.training.job import fresh_model, fresh_state
from resnetctl.training.notices import estimate, exploded, remarks, started


def remarked(*sets: str) -> list[str]:
    settled = job(*sets)
    return [notice.text for notice in remarks(settled, fresh_state(settled, fresh_model(settled)))]


@pytest.mark.parametrize(
    ("name", "block", "shown"),
    [
        ("resnet20", "basic", ""),
        ("resnet20", "preact_basic", "preact_basic"),
        ("resnet20-blocks-2-2-2", "basic", ""),
        ("resnet20-blocks-2-2-2", "preact_basic", "preact_basic"),
        ("resnet20-blocks-2-2-2-channels", "preact_basic", "preact_basic"),
        ("of-nobody", "preact_basic", ""),
    ],
)
def test_the_first_line_names_a_block_that_is_not_that_of_the_arch(name: str, block: str, shown: str) -> None:
    """Also for a network that `compress` made smaller."""
    settled = job()
    settled = dataclasses.replace(settled, arch=dataclasses.replace(settled.arch, name=name, block=block))
    assert started(settled, fresh_state(settled, fresh_model(settled)), run=None).block == shown


def test_ordinary_settings_get_no_notice() -> None:
    assert remarked("threads=1") == []


class Renamed(BasicBlock):
    """Calls its shortcut otherwise."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1):
        super().__init__(in_channels, width, stride=stride)
        self.shortcut = self.downsample
        del self.downsample

    def forward(self, images: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(images)))) + self.shortcut(images)


class Idle(BasicBlock):
    """Has a gate that it never calls."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1):
        super().__init__(in_channels, width, stride=stride)
        self.gate = nn.Conv2d(width, width, 1)


@pytest.mark.parametrize(("block", "is_told"), [(Renamed, True), (BasicBlock, False)])
def test_a_plugins_block_with_another_name_for_its_shortcut_gets_a_notice(
    block: type[nn.Module], is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`plugins check` fails it, and `train` took it without a word."""
    monkeypatch.setattr(registry, "distribution_of", lambda kind, name: {"mine": "1.2"} if name == "odd" else {})
    with registry.overlay("block", odd=block):
        settled = job("threads=1", "model.block=odd")
        state = fresh_state(settled, fresh_model(settled))
        found = list(remarks(settled, state))
        state.step = 1  # a resume has said it
        assert not list(remarks(settled, state))
    assert len(found) == is_told
    for notice in found:
        assert notice.text.startswith("block 'odd' has no `downsample` (it has conv1, bn1, ")
        assert "shortcut): weights of torchvision do not fit" in notice.text
        assert notice.hint == (Call("plugins check", ("mine:odd",)),)


def test_parameters_that_a_plugins_block_does_not_use_get_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "distribution_of", lambda kind, name: {"mine": "1.2"} if name == "odd" else {})
    with registry.overlay("block", odd=Idle):
        settled = job("threads=1", "model.block=odd")
        (notice,) = remarks(settled, fresh_state(settled, fresh_model(settled)))
    never = "no gradient reaches them, and they never train"
    assert notice.text == f"block 'odd' does not use gate.weight, gate.bias: {never}"


def test_more_threads_than_cores_and_a_batch_of_all_images_get_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remarking, "cores_granted", lambda: 1)
    assert remarked("threads=2", "batch_size=500") == [
        "2 threads share 1 core, which is slower than one each",
        "a batch of 500 is more than the 54 training images, so an epoch is one step; "
        "a smaller batch learns more from it",
    ]


@pytest.mark.parametrize(
    ("level", "text"), [("off", "runs without CUDA graphs"), ("network", "has a CUDA graph of the network only")]
)
def test_steps_that_are_not_captured_as_a_whole_get_a_notice(
    level: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remarking.graph, "level", lambda *_, **__: (level, "the reason"))
    assert remarked("threads=1") == [f"a step {text}, which is slower: the reason"]


def test_a_graph_that_a_cpu_does_not_have_gets_a_notice() -> None:
    for level in ("step", "network"):
        assert remarked("threads=1", f"graph={level}") == [
            f"graph={level} does nothing here: the device is cpu, and only CUDA has graphs"
        ]
    assert remarked("threads=1", "graph=off") == remarked("threads=1", "graph=auto") == []


def epoch(*, train: float, val: float, number: int = 3) -> EpochResult:
    report = EvalReport(**{field.name: 0 for field in dataclasses.fields(EvalReport)} | {"loss": val})  # type: ignore[arg-type]
    numbers = {"first_lr": 0.1, "lr": 0.1, "train_top1": 0.1, "train_images": 54}
    return EpochResult(epoch=number, step=4 * number, train_loss=train, val=report, is_best=False, **numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("train", "val", "said"),
    [(2.3, 14014.6, "val loss of epoch 3 is 14,014.6"), (500.0, 2.3, "train loss of epoch 3 is 500.0"), (2.3, 8.2, "")],
)
def test_a_loss_far_above_that_of_guessing_gets_a_notice(train: float, val: float, said: str) -> None:
    settled = job("threads=1", "lr=0.1", "warmup=0")
    notices = list(exploded(settled, epoch(train=train, val=val)))
    assert len(notices) == bool(said)
    for notice in notices:
        assert notice.text.startswith(f"the {said}, and guessing has ")
        assert "the learning rate of 0.1 may be too high" in notice.text
        assert [hint.name for hint in notice.hint if isinstance(hint, Setting)] == ["lr", "warmup", "find_lr"]


@pytest.mark.parametrize(("number", "warmup", "is_said"), [(1, 0, False), (2, 0, True), (2, 2, False), (3, 2, True)])
def test_the_val_loss_counts_after_the_first_epoch_and_the_warm_up(number: int, warmup: int, is_said: bool) -> None:
    settled = job("threads=1", f"warmup={warmup}")
    assert settled.steps_per_epoch == 4
    assert bool(list(exploded(settled, epoch(train=2.3, val=500.0, number=number)))) == is_said
    assert list(exploded(settled, epoch(train=500.0, val=2.3, number=number)))


def test_the_train_loss_of_another_objective_has_another_scale() -> None:
    assert not list(exploded(job("threads=1", "objective.name=focal"), epoch(train=500.0, val=2.0)))


def test_a_decay_that_the_run_is_too_short_for_gets_a_notice() -> None:
    assert remarked("threads=1", "ema_decay=0.999") == [
        "the average of the weights ends with a decay of 0.571, not 0.999: the decay at a step is "
        "(1 + step) / (10 + step), which reaches 0.999 after 8,990 steps, and this run has 12 steps"
    ]
    assert remarked("threads=1", "ema_decay=0.5") == []


def test_a_val_fraction_on_data_with_its_own_val_split_gets_a_notice() -> None:
    settled = job("threads=1")
    own = dataclasses.replace(settled, split=None)  # as `open_sets` gives it for a stored val split
    state = fresh_state(settled, fresh_model(settled))
    by_hand = dataclasses.replace(own, origins={**own.origins, "val_fraction": "flag --val-fraction"})
    assert [notice.text for notice in remarks(by_hand, state)] == [
        "'tiny' has its own val split, so `val_fraction` (flag --val-fraction) changes nothing"
    ]
    assert not list(remarks(own, state))
    assert not list(remarks(dataclasses.replace(by_hand, split=settled.split), state))


def test_classes_that_are_in_train_only_are_named() -> None:
    settled = job("threads=1")
    notes = ("ignored: 1 .txt", "classes without an image in test, too few images to split: c")
    card = dataclasses.replace(settled.store.card, notes=notes)
    noted = dataclasses.replace(settled, store=dataclasses.replace(settled.store, card=card))
    state = fresh_state(settled, fresh_model(settled))
    assert [notice.text for notice in remarks(noted, state)] == [notes[1]]


def test_a_notice_names_the_epoch_in_which_growing_images_reach_full_size() -> None:
    (text,) = remarked("threads=1", "epochs=10", "progressive.initial_scale=0.5")
    assert text.startswith("images grow from 4 px and reach 8 px in epoch 7; ")


def test_the_opening_fact_of_a_dry_run_has_no_folder() -> None:
    settled = job()
    fact = started(settled, fresh_state(settled, fresh_model(settled)), run=None)
    assert (fact.run, fact.steps, fact.start_step, fact.best, fact.block) == (None, 12, 0, None, "")


def test_started_names_a_block_that_replaces_the_archs_own() -> None:
    settled = job("model.block=bottleneck")
    assert started(settled, fresh_state(settled, fresh_model(settled)), run=None).block == "bottleneck"


def test_a_short_run_gets_no_estimate_and_a_long_one_gets_advice() -> None:
    settled = job("epochs=20")
    assert list(estimate(settled, seconds=20.0, rate=100.0)) == []
    assert list(estimate(settled, seconds=600.0, rate=1000.0)) == [
        Doing("about 10 min for the whole run at 1,000 images/s")
    ]
    _, advice = estimate(settled, seconds=7200.0, rate=1000.0)
    assert advice.hint == (Setting("recipe", "fast", note="trains 10 epochs in about 60 min"),)
