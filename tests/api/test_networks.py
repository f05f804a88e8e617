"""Functions for a trained network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnetctl as rc
from resnetctl.errors import ResnetctlWarning, UsageError, WorkFailed

VERBS: dict[str, Callable[..., Any]] = {
    "evaluate": rc.evaluate,
    "report": rc.report,
    "export": rc.export,
    "compress": rc.compress,
    "Predictor": rc.Predictor,
    "explain": lambda **options: rc.explain(None, "cat.png", **options),
    "predict": lambda **options: rc.predict(None, "cat.png", **options),
    "stream.compress": lambda **options: rc.stream.compress(None, **options),
}


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_argument_is_refused_before_any_work(verb: str) -> None:
    with pytest.raises(UsageError, match="unknown argument 'bogus'"):
        VERBS[verb](bogus=1)


def test_the_arguments_of_evaluate_are_named_when_one_is_unknown() -> None:
    with pytest.raises(UsageError, match=r"known: data, device, .*split, target, tta"):
        rc.evaluate(bogus=1)  # type: ignore[call-arg]


def test_the_functions_lead_from_data_to_an_onnx_file(run, tmp_path: Path) -> None:
    assert run.path == Path("runs/one")
    assert run.summary["epochs"] == 2
    outcome = rc.evaluate(run)
    assert outcome.report.count == 15
    exported = rc.export(run)
    assert exported.path.name == "model.onnx"
    assert rc.evaluate(exported.path).report.correct == outcome.report.correct
    model, card = rc.load(run)
    assert not model.training
    assert card.arch.block_args["shortcut"] == "B"


def test_a_dataset_may_be_named_by_a_path(run) -> None:
    name = Path("tiny")
    assert rc.evaluate(run, data=name).data == rc.report(run, data=name, quick=True).to_json()["data"] == "tiny"
    assert rc.finetune(run, data=name, epochs=1, name="two").summary["data"] == "tiny"
    assert rc.export(run, data=name).parity is not None


def test_predict_returns_guesses_for_files(run) -> None:
    from PIL import Image

    Image.new("L", (8, 8), 230).save("bright.png")
    [result] = rc.predict(run, ["bright.png"], top=2)
    assert len(result["predictions"]) == 2
    assert {"class", "probability"} <= set(result["predictions"][0])


def test_what_evaluate_could_not_write_is_a_warning(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, data: bytes) -> None:
        raise WorkFailed("no space left", where=str(path))

    with pytest.raises(UsageError, match="its folder does not exist"):
        rc.evaluate(run, per_image="missing/images.csv")
    monkeypatch.setattr("resnetctl.tasks.held_out.storage.write", fail)
    with pytest.warns(ResnetctlWarning, match="the file of images was not written: no space left"):
        outcome = rc.evaluate(run, per_image="images.csv")
    assert outcome.report.count == 15
