"""`eval`."""

from typing import TYPE_CHECKING

from resnetctl.cli import out, render
from resnetctl.cli.command import Command, Given
from resnetctl.cli.options import EvalOptions

if TYPE_CHECKING:
    from resnetctl.tasks.evaluate import EvalOutcome

WORST = 5  # classes, and mistakes, to print


def run(given: Given[EvalOptions]) -> None:
    """`eval`"""
    from resnetctl import settings
    from resnetctl.cli.loading import torch_note
    from resnetctl.tasks.evaluate import evaluate

    options = given.options
    with torch_note():
        outcome = evaluate(
            options.target,
            data=options.data,
            split=options.split,
            min_accuracy=options.min_accuracy,
            device=options.device,
            settings=settings.load(),
        )
    _print(outcome, as_json=options.as_json)


def _print(outcome: "EvalOutcome", *, as_json: bool) -> None:
    if as_json:
        out.document("eval", outcome.to_json())


COMMAND = Command(
    name="eval",
    summary="Measure accuracy on images that training did not see.",
    run=run,
    options=EvalOptions,
    examples=(
        ("resnetctl eval", "the newest run, on test"),
        ("resnetctl eval runs/last/export/model.onnx", "its ONNX file"),
        ("resnetctl eval net.safetensors --data cifar10", "on another dataset"),
        ("resnetctl eval --min-accuracy 0.9", "exit 5 when it is below"),
    ),
)
