"""`data list|get|add|show|check|remove`."""

from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.common import Common
from resnetctl.cli.parser.store_options import (
    DataAddOptions,
    DataCheckOptions,
    DataGetOptions,
    DataRemoveOptions,
    DataShowOptions,
)
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.ask import confirm
from resnetctl.errors import CheckFailed, PluginError
from resnetctl.hints import Call, Hint
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.spec import DatasetCard, VectorSpec
    from resnetctl.tasks.data.reports import CheckReport, DataReport, Listed, ShowReport

SHOWN = 20  # classes in the table
PHOTO_SIDE, FEW_PHOTOS = 96, 5_000  # photos have at least this side; fewer than these train better from ImageNet


def list_data(parsed: Parsed[Common]) -> None:
    """Run `data list`."""
    from resnetctl.system import settings
    from resnetctl.tasks.data import listing as task

    report = task.listing(settings.load())
    if parsed.options.as_json:
        streams.report(report)
    else:
        header = ("name", "status", "images", "classes", "size", "licence")
        tables.table(header, [_listed(row) for row in report.datasets], drop=("licence", "size", "classes"))


def get(parsed: Parsed[DataGetOptions]) -> None:
    """Run `data get`."""
    from resnetctl.cli.screen.progress import watch
    from resnetctl.system import settings
    from resnetctl.tasks.data import get as task

    options = parsed.options
    work = task.get(
        options.name, settings.load(), source=options.source, replace=options.replace, remote=options.remote
    )
    _done(watch(work), as_json=options.as_json)


def add(parsed: Parsed[DataAddOptions]) -> None:
    """Run `data add`."""
    from resnetctl.cli.screen.progress import watch
    from resnetctl.system import settings
    from resnetctl.tasks.data import add as task

    options = parsed.options
    request = task.AddRequest(
        path=options.path,
        name=options.name,
        size=options.size,
        fit=options.fit,
        on_bad_image=options.on_bad_image,
        replace=options.replace,
        max_pixels=options.max_pixels,
        strict=options.strict,
        storage=options.storage,
        shuffle=options.shuffle,
        shard_mb=options.shard_mb,
        vectors=options.vectors,
        image_labels=options.image_labels,
    )
    _done(watch(task.add(request, settings.load())), as_json=options.as_json)


def show(parsed: Parsed[DataShowOptions]) -> None:
    """Run `data show`."""
    from resnetctl.system import settings
    from resnetctl.tasks.data import show as task

    report = task.show(parsed.options.name, settings.load(), sheet=parsed.options.sheet)
    if parsed.options.as_json:
        streams.report(report)
    else:
        _shown(report)


def check(parsed: Parsed[DataCheckOptions]) -> None:
    """Run `data check`. Raises `CheckFailed`, exit 5, when a finding is an error."""
    from resnetctl.cli.screen.progress import watch
    from resnetctl.system import settings
    from resnetctl.tasks.data import check as task

    report = watch(task.check(parsed.options.target, settings.load(), near=parsed.options.near))
    if parsed.options.as_json:
        streams.report(report)
    else:
        _checked(report)
    if report.failed:
        raise CheckFailed(f"'{report.target}' has errors", hint=_remedies(report))


def _remedies(report: "CheckReport") -> list[Hint]:
    """Return what helps: the layout of a folder with one class, and calls that add the data in spite of its errors."""
    unreadable = sum(finding.count for finding in report.findings if finding.code == "unreadable")
    note = f"leaves out the {counted(unreadable, 'file')} that cannot be read"
    alone = any(finding.code == "one-class" for finding in report.findings)
    hints: list[Hint] = ["name the folder that has a folder per class, not one of these folders"] if alone else []
    hints += [Call("data add", (report.target,), {"on_bad_image": "skip"}, note=note)] if unreadable else []
    return hints


def remove(parsed: Parsed[DataRemoveOptions]) -> None:
    """Run `data remove`: ask on a terminal, elsewhere only with `--yes`."""
    from resnetctl.system import settings
    from resnetctl.tasks.data import remove as task

    machine, name = settings.load(), parsed.options.name
    path = task.stored(name, machine)
    for sentence in task.of_runs(name, machine):
        streams.say(streams.one_line(sentence))
    if not parsed.options.yes:
        confirm(streams.one_line(f"Remove '{name}' from {path}?") + " [y/N] ")
    report = task.remove(name, machine)
    if parsed.options.as_json:
        streams.report(report)
    else:
        streams.result(streams.one_line(f"removed {report.name}: {report.path}"))


def _listed(row: "Listed") -> tuple[object, ...]:
    card = row.card
    if card is None:
        return row.name, row.problem or "available", "", "", "", ""
    images = tables.count(sum(card.splits.values()))
    return row.name, "remote" if card.remote else "in store", images, len(card.classes), _size(card), card.licence


def _size(card: "DatasetCard") -> str:
    return f"{card.image.resize}x{card.image.resize}x{card.image.channels}"


def _stored(card: "DatasetCard") -> str:
    seen = f", nets see {card.image.size} px" if card.image.size != card.image.resize else ""
    return (
        _size(card)
        + seen
        + (", decoded from the original files" if card.storage == "jpeg" else "")
        + (f" at {card.remote}" if card.remote else "")
    )


def _done(report: "DataReport", *, as_json: bool) -> None:
    """Print the report of `get` and `add`."""
    if as_json:
        streams.report(report)
        return
    if not report.done:
        streams.say(f"{report.name} is already in the store; --replace builds it again")
    if report.card is not None:
        tables.pairs([("name", report.name), ("path", report.path), *_card(report.card)])
        streams.result(f"\nNext\n  resnetctl data check {report.name}")
        if len(report.card.classes) > 1:
            streams.result(f"  {_training(report.card)}")


def _training(card: "DatasetCard") -> str:
    """Return the line that trains on a dataset: for few photos, one that starts from ImageNet."""
    images = sum(card.splits.values())
    is_photo = card.image.channels == 3 and card.image.resize >= PHOTO_SIDE
    if card.truth == "labels" and is_photo and images < FEW_PHOTOS and card.vector is None:
        return f"resnetctl finetune --data {card.name} --weights torchvision:resnet18"
    return f"resnetctl train --data {card.name}{_head(card)}"


def _head(card: "DatasetCard") -> str:
    """Return the flags that a dataset needs, with an installed head that learns from its truth; "" for labels."""
    if card.truth == "labels":
        return ""
    from resnetctl.training.dense import heads_for

    try:
        heads = heads_for(card.truth)
    except PluginError:  # the dataset is stored: a broken plugin is told by the verb that needs it
        heads = []
    others = f"    or --head {', '.join(heads[1:])}" if heads[1:] else ""
    arch = "resnet18" if card.truth == "tags" else "resnet10_wd2"
    return f" --arch {arch} --head {heads[0] if heads else 'NAME'}{others}"


def _card(card: "DatasetCard") -> list[tuple[str, object]]:
    """Return a card as rows of name and value."""
    splits = ", ".join(f"{split} {tables.count(number)}" for split, number in card.splits.items())
    named = ", ".join(card.classes[:SHOWN]) + (" ..." if len(card.classes) > SHOWN else "")
    return [
        ("images", splits),
        ("classes", f"{len(card.classes)}: {named}"),
        ("stored", _stored(card)),
        ("mean", ", ".join(f"{value:.4f}" for value in card.image.mean)),
        ("std", ", ".join(f"{value:.4f}" for value in card.image.std)),
        ("numbers", None if card.vector is None else _columns(card.vector)),
        ("licence", card.licence),
        ("source", card.source or None),
        *(("note", note) for note in card.notes),
    ]


def _columns(vector: "VectorSpec") -> str:
    """Return the columns of numbers that come with each image."""
    more = " ..." if len(vector.columns) > SHOWN else ""
    return f"{len(vector.columns)} an image: {', '.join(vector.columns[:SHOWN])}{more}"


def _shown(report: "ShowReport") -> None:
    """Print a card, and a table of images by class and split."""
    tables.pairs([("name", report.name), ("path", report.path), *_card(report.card), ("sheet", report.sheet)])
    splits = list(report.card.splits)
    rows: list[list[object]] = [
        [name, *(tables.count(counts.get(split, 0)) for split in splits)] for name, counts in report.counts.items()
    ]
    if report.empty is not None:
        rows.append(["(images without)", *(tables.count(report.empty.get(split, 0)) for split in splits)])
    streams.result("")
    unit = {"boxes": "boxes of class", "masks": "pixels of class"}.get(report.card.truth, "class")
    tables.table([unit, *splits], rows)


def _checked(report: "CheckReport") -> None:
    """Print a line for each finding, errors first."""
    if not report.findings:
        streams.result(streams.one_line(f"{report.target}: {counted(report.images, 'image')}, no problems found"))
        return
    order = sorted(report.findings, key=lambda finding: finding.severity != "error")
    tables.table(["severity", "code", "finding"], [(item.severity, item.code, item.message) for item in order])
    if report.pairs:
        labels = {True: "", False: "another class"}
        rows = [(pair.name, pair.train, f"{pair.score:.3f}", labels[pair.is_same_class]) for pair in report.pairs]
        streams.result("")
        tables.table([report.pairs[0].split, "train", "correlation", "label"], rows)


COMMAND = Group(
    name="data",
    summary="Image data: read once into the store, then used by name.",
    members={
        "list": Command(name="list", summary="List datasets, stored or available.", run=list_data),
        "get": Command(
            name="get",
            summary="Fetch a dataset, verify it, and put it into the store.",
            run=get,
            options=DataGetOptions,
            examples=(
                ("resnetctl data get cifar10", "from its official address"),
                ("resnetctl data get cifar10 --from cifar-10-binary.tar.gz", "your copy"),
                ("resnetctl data get https://data.example.org/pets", "from a server that has a store"),
                ("resnetctl data get https://data.example.org/pets --remote", "fetch images when they are read"),
            ),
        ),
        "add": Command(
            name="add",
            summary="Put your own images into the store: a folder, .tar .tar.gz .tar.xz .zip, or a CSV.",
            run=add,
            options=DataAddOptions,
            examples=(
                ("resnetctl data add ./photos --name pets", "one folder per class"),
                ("resnetctl data add photos.zip --name pets64 --size 64", "stored at 64 x 64"),
                ("resnetctl data add ./imagenet --storage jpeg", "keep the files: less disk, more decoding"),
                ("resnetctl data add labels.csv --name pets", "path,label[,split][,group]"),
                ("resnetctl data add ./cells --vectors measured.csv", "with numbers of each image: path,NAME,NAME,..."),
            ),
        ),
        "show": Command(
            name="show",
            summary="Show counts, size, mean, std, licence and source of a dataset.",
            run=show,
            options=DataShowOptions,
            examples=(("resnetctl data show digits --sheet digits.png", "with a contact sheet"),),
        ),
        "check": Command(
            name="check",
            summary="Find problems in the data; exit 5 when there is an error.",
            run=check,
            options=DataCheckOptions,
            examples=(
                ("resnetctl data check digits", "a dataset in the store"),
                ("resnetctl data check ./photos", "a folder, before it is added"),
                ("resnetctl data check cifar10 --near", "test images that train has too, a little changed"),
            ),
        ),
        "remove": Command(
            name="remove",
            summary="Remove a dataset from the store.",
            run=remove,
            options=DataRemoveOptions,
            examples=(("resnetctl data remove pets --yes", "without a question"),),
        ),
    },
)
