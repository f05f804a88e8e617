"""A run that meets a NaN or an infinity says where it began."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certification import site
from support.datasets import tiny
from support.jobs import to_train

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.engine import checkpoint
from resnetctl.errors import NonFinite, UsageError, WorkFailed
from resnetctl.facts import Notice
from resnetctl.hints import Call, in_shell
from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.runs import listing
from resnetctl.tasks.targets import resolve
from resnetctl.tasks.train import train


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The net `nano`, and `poison`: in step 7, the second image of the batch gets a pixel that is NaN."""
    tiny(settings.load().data_dir)
    monkeypatch.syspath_prepend(str(site(tmp_path / "site")))
    registry.refresh()
    yield
    registry.refresh()


def failing(*sets: str) -> tuple[NonFinite, str]:
    request = to_train(from_sets(["model.arch=nano", "data=tiny", *sets]), name="one")
    facts: list[object] = []
    with pytest.raises(NonFinite) as caught:
        facts.extend(train(request, settings.load()))
    return caught.value, "\n".join(fact.text for fact in facts if isinstance(fact, Notice))


def test_an_error_for_a_nan_pixel_names_step_policy_and_image() -> None:
    error, _ = failing("augment=poison")
    assert error.message == "step 7: the policy 'poison' made pixels that are not finite"
    assert error.hint[0] == Call("plugins check", ("poison",))
    assert len(error.problems) == 1
    assert error.problems[0].startswith("image train row ")
    assert "(train/" in error.problems[0]
    assert error.exit_code == 1


def test_an_error_for_a_nan_pixel_of_a_policy_with_arguments_does_not_offer_a_check_that_passes() -> None:
    error, _ = failing("augment=poison", "augment.step=4")
    advice = "correct the policy for step=4, or give other values: `plugins check` tries the defaults"
    assert (error.message[:6], error.hint[0]) == ("step 5", advice)


def test_the_last_finite_checkpoint_is_kept_and_nothing_else_is_saved() -> None:
    failing("augment=poison")
    run = runs.find("one", Path("runs"))
    (path,) = run.checkpoints.paths()
    assert checkpoint.from_bytes(path.read_bytes()).step == 4
    assert run.summary() is None


@pytest.mark.parametrize("optim", ["sgd", "adamw"])
def test_an_error_for_an_exploding_learning_rate_names_the_layer(optim: str) -> None:
    error, _ = failing("lr=1e30", f"optim.name={optim}", "epochs=4")
    assert error.message.startswith("step ")
    assert "'" in error.message
    assert in_shell(error.hint[0]).startswith("resnetctl train --config runs/one/config.toml --lr 0.1 ")
    assert not any("--resume" in in_shell(hint) for hint in error.hint)  # it would take the same steps


def test_a_failed_run_is_marked_and_a_resume_that_fails_marks_it_again() -> None:
    error, _ = failing("augment=poison")
    run = runs.find("one", Path("runs"))
    assert listing.facts(run)["status"] == "failed"
    assert json.loads((run.path / "failure.json").read_text()) == {
        "schema": "resnetctl.failure/1",
        "message": error.message,
        "problems": list(error.problems),
    }
    facts: list[object] = []
    with pytest.raises(NonFinite):
        facts.extend(resume("one", settings=settings.load()))
    assert listing.facts(run)["status"] == "failed"


def test_the_last_good_weights_are_offered() -> None:
    error, _ = failing("augment=poison")  # in the second epoch
    assert tuple(map(in_shell, error.hint)) == (
        "resnetctl plugins check poison",
        "resnetctl eval runs/one    measures the last good weights",
    )
    (notice,) = resolve("one", settings.load()).notices
    assert notice == "runs/one failed after epoch 1: using the last good weights"


def test_a_resume_says_that_the_run_failed_before() -> None:
    error, _ = failing("augment=poison")
    texts: list[str] = []
    with pytest.raises(NonFinite):
        texts.extend(getattr(fact, "text", "") for fact in resume("one", settings=settings.load()))
    assert f"the run failed before ({error.message}): the same steps end in the same way" in texts


def test_the_run_is_marked_before_the_replay_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    # the replay may take long and may be killed
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resnetctl.training.failure.find_origin", killed)
    request = to_train(from_sets(["model.arch=nano", "data=tiny", "augment=poison"]), name="one")
    with pytest.raises(KeyboardInterrupt):
        list(train(request, settings.load()))
    assert "no longer finite" in (runs.find("one", Path("runs")).failure() or "")


def test_a_signal_during_the_replay_keeps_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetctl.training.failure.find_origin", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    error, _ = failing("lr=1e30", "epochs=4")
    assert error.message.endswith("the search for its beginning was stopped")
    assert in_shell(error.hint[0]).startswith("resnetctl train --config runs/one/config.toml --lr")
    assert runs.find("one", Path("runs")).failure()


def test_a_failure_that_does_not_repeat_is_not_marked_and_may_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetctl.training.failure.find_origin", lambda *_, **__: None)
    error, _ = failing("augment=poison")
    assert "finite when repeated" in error.message
    assert tuple(map(in_shell, error.hint)) == ("resnetctl train --resume runs/one",)
    assert runs.find("one", Path("runs")).failure() is None


@pytest.mark.parametrize("refusal", [WorkFailed, UsageError])
def test_a_mark_that_cannot_be_written_does_not_hide_the_error(
    monkeypatch: pytest.MonkeyPatch, refusal: type[Exception]
) -> None:
    def full(*_: object) -> None:
        raise refusal("no space")

    monkeypatch.setattr(runs.RunDir, "save_failure", full)
    assert failing("augment=poison")[0].message.startswith("step 7")


def test_a_notice_announces_the_replay_before_it_begins() -> None:
    request = to_train(from_sets(["model.arch=nano", "data=tiny", "augment=poison"]), name="one")
    texts: list[str] = []
    with pytest.raises(NonFinite):
        texts.extend(getattr(fact, "text", "") for fact in train(request, settings.load()))
    assert "repeating the steps since the last checkpoint" in texts[-1]
