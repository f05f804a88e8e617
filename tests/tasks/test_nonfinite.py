"""A run whose numbers blow up says where that began."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.datasets import tiny
from support.trials import site

from resnetctl import registry, runs, settings
from resnetctl.config.layers import from_sets
from resnetctl.engine import checkpoint
from resnetctl.errors import NonFinite
from resnetctl.tasks.facts import Notice
from resnetctl.tasks.train import TrainRequest, train


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
    assert any("--lr with less than 1e+30" in hint for hint in error.hint)


def test_it_is_said_before_the_replay_begins() -> None:
    request = TrainRequest(layers=[from_sets(["model.arch=nano", "data=tiny", "augment=poison"])], name="one")
    texts: list[str] = []
    with pytest.raises(NonFinite):
        texts.extend(getattr(fact, "text", "") for fact in train(request, settings.load()))
    assert "going back to the last checkpoint" in texts[-1]
