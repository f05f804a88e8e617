"""`weights show` and `weights import`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.store_options import WeightsImportOptions, WeightsShowOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.loading import torch_note
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.spec import Arch, Calibration
    from resnetctl.tasks.weights import WeightsReport


SHOWN = 10  # names of classes


def _block(arch: "Arch") -> str:
    """Return the block with its arguments."""
    arguments = ", ".join(f"{name}={value}" for name, value in arch.block_args.items())
    return f"{arch.block} ({arguments})" if arguments else arch.block


def show(parsed: Parsed[WeightsShowOptions]) -> None:
    """Run `weights show`."""
    from resnetctl.system import settings
    from resnetctl.tasks import weights

    _print(weights.show(parsed.options.target, settings.load()), as_json=parsed.options.as_json)


def import_(parsed: Parsed[WeightsImportOptions]) -> None:
    """Run `weights import`."""
    from resnetctl.cli.parser.flag_layers import from_sets
    from resnetctl.config.layers import layer, together
    from resnetctl.system import settings
    from resnetctl.tasks import weights

    options = parsed.options
    block = layer({"model.block": options.block} if options.block is not None else {}, "flag --block")
    request = weights.ImportRequest(
        file=options.file,
        arch=options.arch,
        out=options.out,
        data=options.data,
        classes=options.classes,
        size=options.size,
        mean=options.mean,
        std=options.std,
        model=together(from_sets(options.sets), block),
    )
    with torch_note():
        report = weights.import_file(request, settings.load())
    _print(report, as_json=options.as_json)


def _print(report: "WeightsReport", *, as_json: bool) -> None:
    for note in report.notes:
        streams.say(streams.printable(note))
    if as_json:
        streams.report(report)
        return
    card, image = report.card, report.card.image
    tables.pairs(
        [
            ("file", report.path),
            ("arch", f"{card.arch.name}   block {_block(card.arch)}, stem {card.arch.stem}"),
            ("params", tables.count(report.params)),
            ("classes", _named(card.classes)),
            (
                "image",
                f"{image.size} px, {counted(image.channels, 'channel')}, {image.interpolation}, resize {image.resize}",
            ),
            ("mean", ", ".join(f"{value:.4g}" for value in image.mean)),
            ("std", ", ".join(f"{value:.4g}" for value in image.std)),
            ("trained on", card.trained_on.get("name")),
            ("taught by", _teacher(card.teacher)),
            ("metrics", ", ".join(f"{name} {value:.4g}" for name, value in card.metrics.items()) or None),
            ("calibrated", _calibrated(card.calibration)),
            ("needs", _distributions(card.plugins.required)),
            ("used", _distributions(dict(card.plugins.used.items() - card.plugins.required.items()))),
            ("size", tables.size(report.bytes)),
            ("sha256", report.sha256),
        ]
    )


def _named(classes: tuple[str, ...]) -> str:
    """Return the count of the classes and the first names."""
    more = f" and {len(classes) - SHOWN:,} more" if len(classes) > SHOWN else ""
    return f"{len(classes):,}: {', '.join(classes[:SHOWN])}{more}"


def _calibrated(found: "Calibration | None") -> str | None:
    """Return the temperature, the levels of the prediction sets, and the images that chose them."""
    if found is None:
        return None
    levels = [(tables.percent(float(level), 0), limit) for level, limit in found.sets.items()]
    sets = "".join(f", {level} sets from probability {limit:.4g}" for level, limit in levels)
    return f"temperature {found.temperature:.4g}{sets}   ({counted(found.images, 'image')} of {found.split})"


def _teacher(teacher: Mapping[str, str]) -> str | None:
    return "{arch} ({method}), sha256 {sha256}".format(**teacher) if teacher else None


def _distributions(versions: Mapping[str, str]) -> str | None:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or None


COMMAND = Group(
    name="weights",
    summary="Weights files: architecture, classes and preprocessing are inside.",
    members={
        "show": Command(
            name="show",
            summary="Show the card of a weights file. Reads no tensor.",
            run=show,
            options=WeightsShowOptions,
            examples=(("resnetctl weights show last", "the newest run"),),
        ),
        "import": Command(
            name="import",
            summary="Convert a state dict of PyTorch into a weights file. Runs no code from it.",
            run=import_,
            options=WeightsImportOptions,
            examples=(
                ("resnetctl weights import net.pth -a resnet20 -d cifar10 -o net.safetensors", ""),
                ("resnetctl weights import net.th --arch resnet20 --data cifar10 \\", ""),
                ("    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \\", ""),
                ("    --out net.safetensors", ""),
            ),
        ),
    },
)
