"""A run changes its policy after an epoch, and a resume takes the same policy."""

import pytest
import torch
from support.jobs import job, to_train

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError, Stopped, UsageError
from resnetctl.spec import Batch, ImageSpec
from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.training.job import fresh_model, fresh_state
from resnetctl.training.notices import remarks
from resnetctl.training.policy_schedule import repeats, run_augmentation, until_epoch
from resnetctl.weights.file import load, read_header

IMAGE = ImageSpec(size=8, channels=1, mean=(0.5,), std=(0.25,))


def batch(epoch: int) -> Batch:
    pixels = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(16, 1, 8, 8).contiguous()
    return Batch(images=pixels, targets=torch.zeros(16, dtype=torch.int64), index=torch.arange(16), epoch=epoch, step=0)


@pytest.mark.parametrize(
    ("until", "epochs", "expected"),
    [(3, 10, 3), ("50%", 10, 5), ("90%", 5, 4), ("100%", 7, 7), ("5%", 3, 1), (0, 4, 0)],
)
def test_the_length_is_epochs_or_a_share_of_the_run(until: int | str, epochs: int, expected: int) -> None:
    assert until_epoch(TrainConfig(augment_until=until), epochs=epochs) == expected


def test_the_policy_changes_after_the_epoch() -> None:
    config = TrainConfig(augment="shift", augment_until=2, augment_after="none")
    augment = run_augmentation(config, IMAGE, classes=2, mirror=False, epochs=4)
    moved = []
    for epoch in range(4):
        torch.manual_seed(0)
        moved.append(not torch.equal(augment(batch(epoch)).images, batch(epoch).images))
    assert moved == [True, True, False, False]


def test_without_an_epoch_the_first_policy_stays() -> None:
    config = TrainConfig(augment="shift", augment_after="none")
    augment = run_augmentation(config, IMAGE, classes=2, mirror=False, epochs=4)
    torch.manual_seed(0)
    assert not torch.equal(augment(batch(3)).images, batch(3).images)


@pytest.mark.parametrize("wrong", ["often", "0%", "101%", -1, 2.5])
def test_a_wrong_length_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="wrong values") as caught:
        to_train(from_sets([f"augment_until={wrong}"]))
    assert "augment_until: " in caught.value.problems[0]


def test_an_unknown_second_policy_is_refused_before_the_run() -> None:
    with pytest.raises(UsageError, match="no policy is called 'shft'"):
        to_train(from_sets(["augment_until=1", "augment_after=shft"]))


def test_a_run_that_ends_before_the_change_says_so() -> None:
    settled = job("augment_until=7")
    texts = [notice.text for notice in remarks(settled, fresh_state(settled, fresh_model(settled)))]
    assert "augment_until=7 has no effect: the run has 3 epochs" in texts
    settled = job("augment_until=2")
    assert not any(
        "has no effect" in note.text for note in remarks(settled, fresh_state(settled, fresh_model(settled)))
    )


@pytest.mark.parametrize(
    ("sets", "same"),
    [
        (("augment=none",), True),
        (("augment=none", "augment_until=1"), True),
        (("augment=shift",), False),
        (("augment=shift", "augment_until=1"), False),
        (("augment=none", "epochs=1"), False),
        (("augment=none", "progressive.initial_scale=0.5"), False),
        (("augment=none", "size=12"), False),
    ],
)
def test_images_repeat_without_a_policy_at_the_size_of_the_store(sets: tuple[str, ...], same: bool) -> None:
    settled = job(*sets)
    found = repeats(settled.config, settled.train, image=settled.image, sides=len(settled.sides), epochs=settled.epochs)
    assert found == same


def test_a_second_policy_without_an_epoch_says_so() -> None:
    settled = job("augment_after=shift")
    texts = [notice.text for notice in remarks(settled, fresh_state(settled, fresh_model(settled)))]
    assert "augment_after=shift has no effect without augment_until" in texts


def test_a_resume_across_the_change_has_the_same_weights() -> None:
    job()  # stores the data
    weights = {}
    for name, until in (("whole", 1), ("parts", 1), ("always", 0)):
        sets = ["data=tiny", "epochs=2", "batch_size=16", "augment=shift", f"augment_until={until}", "keep=last"]
        facts = train(to_train(from_sets([*sets, "augment_after=none"]), name=name), settings.load())
        if name != "parts":
            list(facts)
        else:
            _stop_after_an_epoch(facts)
            list(resume(name, epochs=None, exact=True, device=None, settings=settings.load()))
        run = runs.find(name, settings.load().runs_dir)
        weights[name] = load(read_header(run.weights)).state["conv1.weight"]
    assert torch.equal(weights["whole"], weights["parts"])
    assert not torch.equal(weights["whole"], weights["always"])


def _stop_after_an_epoch(facts) -> None:
    for fact in facts:
        if type(fact).__name__ == "EpochTimed":
            with pytest.raises((Stopped, KeyboardInterrupt)):
                facts.throw(KeyboardInterrupt)
            return


def test_a_card_names_the_plugin_of_the_second_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = job("augment_until=1", "augment_after=none")
    real = registry.distribution_of
    monkeypatch.setattr(
        registry, "distribution_of", lambda kind, name: {"own": "1.2"} if name == "none" else real(kind, name)
    )
    assert dict(settled.card({}).plugins.used) == {"own": "1.2"}
