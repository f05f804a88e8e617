"""A run whose numbers blow up says where that began."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.datasets import tiny
from support.trials import site

from resnetctl import registry, runs, settings
from resnetctl.config.layers import from_sets
from resnetctl.engine import checkpoint
from resnetctl.errors import NonFinite, WorkFailed
from resnetctl.tasks import history
from resnetctl.tasks.facts import Notice
from resnetctl.tasks.targets import resolve
from resnetctl.tasks.train import TrainRequest, resume, train


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The net `nano`, and `poison`: in step 7, the second image of the batch gets a pixel that is NaN."""
    tiny(settings.load().data_dir)
    monkeypatch.syspath_prepend(str(site(tmp_path / "site")))
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()


def failing(*sets: str) -> tuple[NonFinite, str]:
    request = TrainRequest(layers=[from_sets(["model.arch=nano", "data=tiny", *sets])], name="one")
    told: list[object] = []
    with pytest.raises(NonFinite) as caught:
        told.extend(train(request, settings.load()))
    return caught.value, "\n".join(fact.text for fact in told if isinstance(fact, Notice))


def test_a_pixel_that_is_nan_names_step_policy_and_image() -> None:
    error, _ = failing("augment=poison")
    assert error.message == "step 7: the policy 'poison' made pixels that are not finite"
    assert len(error.problems) == 1
    assert error.problems[0].startswith("image train row ")
    assert "(train/" in error.problems[0]
    assert error.exit_code == 1


def test_the_last_finite_checkpoint_is_kept_and_nothing_else_is_saved() -> None:
    failing("augment=poison")
    run = runs.find("one", Path("runs"))
    (path,) = run.checkpoints()
    assert checkpoint.from_bytes(path.read_bytes()).step == 4
    assert run.summary() is None


@pytest.mark.parametrize("optim", ["sgd", "adamw"])
def test_an_exploding_rate_names_the_layer(optim: str) -> None:
    error, _ = failing("lr=1e30", f"optim.name={optim}", "epochs=4")
    assert error.message.startswith("step ")
    assert "'" in error.message
    assert error.hint[0] == "resnetctl train --config runs/one/config.toml --lr 0.1"
    assert not any("--resume" in hint for hint in error.hint)  # it would take the same steps


def test_the_run_is_marked_until_it_goes_on() -> None:
    error, _ = failing("augment=poison")
    run = runs.find("one", Path("runs"))
    assert history.facts(run)["status"] == "failed"
    assert run.failure() == {
        "schema": "resnetctl.failure/1",
        "message": error.message,
        "problems": list(error.problems),
    }
    with pytest.raises(NonFinite):
        list(resume("one", settings=settings.load()))
    assert history.facts(run)["status"] == "failed"


def test_weights_of_before_are_offered() -> None:
    error, _ = failing("augment=poison")  # in the second epoch
    assert error.hint == (
        "resnetctl plugins check poison",
        "resnetctl eval runs/one    measures its weights of before",
    )
    (notice,) = resolve("one", settings.load()).notices
    assert notice == "runs/one failed after epoch 1: these are its weights of before"


def test_that_the_mark_cannot_be_written_does_not_hide_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise WorkFailed("no space")

    monkeypatch.setattr(runs.RunDir, "save_failure", full)
    assert failing("augment=poison")[0].message.startswith("step 7")


def test_it_is_said_before_the_replay_begins() -> None:
    request = TrainRequest(layers=[from_sets(["model.arch=nano", "data=tiny", "augment=poison"])], name="one")
    texts: list[str] = []
    with pytest.raises(NonFinite):
        texts.extend(getattr(fact, "text", "") for fact in train(request, settings.load()))
    assert "going back to the last checkpoint" in texts[-1]
