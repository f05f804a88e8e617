"""`export`."""

from typing import TYPE_CHECKING

from resnetctl.cli import out
from resnetctl.cli.command import Command, Given
from resnetctl.cli.options import ExportOptions
from resnetctl.errors import UsageError

if TYPE_CHECKING:
    from resnetctl.tasks.export import ExportReport


def run(given: Given[ExportOptions]) -> None:
    """`export`"""
    options = given.options
    if not options.onnx:
        raise UsageError("say what to export to", where="--onnx", hint=f"resnetctl export {options.target} --onnx")
    from resnetctl import settings
    from resnetctl.cli.loading import torch_note
    from resnetctl.tasks.export import export

    with torch_note():
        report = export(
            options.target, out=options.out, images=options.images, gate=options.gate, settings=settings.load()
        )
    _print(report, as_json=options.as_json)


def _print(report: "ExportReport", *, as_json: bool) -> None:
    if as_json:
        out.document("export", report.to_json())


COMMAND = Command(
    name="export",
    summary="Write an ONNX file that provably agrees with PyTorch on real images.",
    run=run,
    options=ExportOptions,
    examples=(
        ("resnetctl export --onnx", "the newest run"),
        ("resnetctl export net.safetensors --onnx --out net.onnx", ""),
        ("resnetctl export last --onnx --images ./photos", "checked on these"),
    ),
)
