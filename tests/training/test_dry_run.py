from pathlib import Path

import pytest
from support.datasets import tiny
from support.jobs import to_train
from support.pictures import solid, write_tree

from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.facts import Notice, Started
from resnetctl.system import settings
from resnetctl.tasks.data.add import AddRequest, add
from resnetctl.tasks.train import train
from resnetctl.training import dry_run as rehearse
from resnetctl.training.timing.pace import Pace


@pytest.mark.parametrize("data", ["tiny", "digits"])
def test_a_dry_run_times_steps_and_leaves_no_file(data: str, tmp_path: Path) -> None:
    if data == "tiny":
        tiny(settings.load().data_dir)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    facts = list(train(to_train(from_sets([f"data={data}"]), dry_run=True), settings.load()))
    started = next(fact for fact in facts if isinstance(fact, Started))
    assert started.run is None
    texts = [fact.text for fact in facts if isinstance(fact, Notice)]
    assert any("one step of" in text for text in texts)
    assert texts[-1] == "dry run: nothing was written"
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_dry_run_tells_identical_images(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": solid((n % 9, len(name), 9)) for name in ("cat", "horse") for n in range(12)}
    path = write_tree(tmp_path / "photos", files)
    list(add(AddRequest(path=path), settings.load()))
    request = to_train(from_sets(["data=photos", "model.arch=resnet10"]), dry_run=True)
    texts = [fact.text for fact in train(request, settings.load()) if isinstance(fact, Notice)]
    assert "6 pairs of identical images, each pair in one split" in texts


def test_a_dry_run_of_a_one_step_run_still_times_a_step() -> None:
    tiny(settings.load().data_dir)
    request = to_train(from_sets(["data=tiny", "steps=1"]), dry_run=True)
    texts = [fact.text for fact in train(request, settings.load()) if isinstance(fact, Notice)]
    assert texts[-1] == "dry run: nothing was written"
    assert any("one step of" in text for text in texts)


@pytest.mark.parametrize(
    ("batch", "text"),
    [(8, "one step of 8 images takes "), (4096, "one step of 54 images (all there are for a batch of 4,096) takes ")],
)
def test_a_step_has_at_most_all_training_images(batch: int, text: str) -> None:
    tiny(settings.load().data_dir)
    request = to_train(from_sets(["data=tiny", f"batch_size={batch}"]), dry_run=True)
    texts = [fact.text for fact in train(request, settings.load()) if isinstance(fact, Notice)]
    assert [line for line in texts if line.startswith(text)]


def test_the_estimate_of_a_long_run_includes_its_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(settings.load().data_dir)
    paced = Pace(step=1.0, images=16, check=4.0, save=1.0, timed=9)
    monkeypatch.setattr(rehearse, "pace", lambda *_, **__: paced)
    request = to_train(from_sets(["data=tiny", "epochs=100"]), dry_run=True)
    texts = [fact.text for fact in train(request, settings.load()) if isinstance(fact, Notice)]
    assert texts == [
        "one step of 16 images takes 1,000 ms",
        "one epoch of 54 images takes about 9 s",
        "about 15 min for the whole run at 16 images/s",
        "dry run: nothing was written",
    ]
