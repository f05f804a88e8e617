"""Functions for a trained network."""

from pathlib import Path

import resnetctl as rc


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


def test_predict_returns_guesses_for_files(run) -> None:
    from PIL import Image

    Image.new("L", (8, 8), 230).save("bright.png")
    [result] = rc.predict(run, ["bright.png"], top=2)
    assert len(result["predictions"]) == 2
    assert {"class", "probability"} <= set(result["predictions"][0])
