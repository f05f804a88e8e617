"""`export`."""

from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Parsed
from resnetctl.cli.parser.option_models import ExportOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import load_torch
from resnetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from resnetctl.tasks.export import ExportReport


def run(parsed: Parsed[ExportOptions]) -> None:
    """Run `export`."""
    options = parsed.options
    if not options.onnx:
        target = f"{options.target} " if options.target else ""
        raise UsageError("choose a format: --onnx", hint=f"resnetctl export {target}--onnx")
    from resnetctl.system import settings

    load_torch()
    from resnetctl.tasks.export import export

    report = export(
        options.target,
        settings=settings.load(),
        out=options.out,
        images=options.images,
        gate=options.gate,
        input=options.input,
    )
    show(report, as_json=options.as_json)


def show(report: "ExportReport", *, as_json: bool) -> None:
    """Print the written file and the result of its check."""
    for notice in report.notices:
        streams.say(streams.notice(notice))
    if as_json:
        streams.report(report)
        return
    parity, path = report.parity, tables.short(report.path)
    gate = report.gate
    tables.pairs(
        [
            ("wrote", f"{path}   {tables.size(report.bytes)}, opset {report.opset}"),
            ("checked on", f"{gate['images']} {gate['kind']} images   {gate.get('source', '')}".rstrip()),
            *([("pixels", _pixels(gate))] if report.input == "raw" else []),
            ("difference", f"{parity.max_abs_diff:.1e}   ({parity.tolerance:.1e} is allowed)"),
            ("same top-1", tables.percent(parity.agreement, 2)),
            ("sha256", report.sha256),
        ]
    )
    streams.result("\n".join(["", "Next", f"  resnetctl eval {path}", f"  resnetctl predict {path} IMAGE..."]))


def _pixels(gate: "Mapping[str, Any]") -> str:
    return f"those of Pillow {gate['pillow']}, also on {gate['made_up']} made-up sizes"


COMMAND = Command(
    name="export",
    summary="Write an ONNX file, checked against PyTorch on real images.",
    run=run,
    options=ExportOptions,
    examples=(
        ("resnetctl export --onnx", "the newest run"),
        ("resnetctl export net.safetensors --onnx --out net.onnx", ""),
        ("resnetctl export last --onnx --images ./photos", "checked on these"),
        ("resnetctl export --onnx --input raw", "resizes pictures itself"),
    ),
)
