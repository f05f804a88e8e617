"""`predict`."""

from typing import TYPE_CHECKING

from resnetctl.cli import out, render
from resnetctl.cli.command import Command, Given
from resnetctl.cli.options import PredictOptions

if TYPE_CHECKING:
    from resnetctl.tasks.predict import PredictOutcome


def run(given: Given[PredictOptions]) -> None:
    """`predict`"""
    from resnetctl import settings
    from resnetctl.cli.loading import torch_note
    from resnetctl.tasks.predict import predict

    options = given.options
    with torch_note():
        outcome = predict(options.target, options.images, top=options.top, settings=settings.load())
    _print(outcome, as_json=options.as_json)


def _print(outcome: "PredictOutcome", *, as_json: bool) -> None:
    results = [item.to_json() for item in outcome.results]
    if as_json:
        out.document("predict", {"results": results})
        return
    rows = [
        (item["file"], guess["class"], render.percent(guess["probability"]))
        for item in results
        for guess in item["predictions"]
    ]
    render.table(["file", "class", "probability"], rows)


COMMAND = Command(
    name="predict",
    summary="Classify image files with a run, a weights file or an ONNX file.",
    run=run,
    options=PredictOptions,
    examples=(
        ("resnetctl predict last cat.jpg dog.png", "with the newest run"),
        ("resnetctl predict model.onnx *.jpg --top 3", "an ONNX file needs no PyTorch"),
    ),
)
