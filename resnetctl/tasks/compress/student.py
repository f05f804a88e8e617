"""The student of `compress`: a smaller network that the whole one teaches, and that competes with the cut network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from resnetctl import __version__, registry, rng
from resnetctl.compress import calibration
from resnetctl.compress.cost import params
from resnetctl.compress.latency import BASE, speedups
from resnetctl.compress.speed_plan import milliseconds
from resnetctl.data.store import Store
from resnetctl.errors import CheckFailed, DataError, InputError, UsageError, WeightsError
from resnetctl.hints import Call, Setting, closest
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import NOTHING, Plugins, WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.compress.judge import Judge
from resnetctl.tasks.compress.report import FLOAT, INT8, FileFacts, StudentFacts
from resnetctl.tasks.compress.variants import exported, opened
from resnetctl.tasks.targets import resolve
from resnetctl.weights.file import (
    Header,
    load_network,
    read_header,
    require_classifier,
    to_bytes,
)
from resnetctl.weights.plugins import require_plugins

HERE = Setting("student")


@dataclass(frozen=True, kw_only=True)
class Student:
    """A network that can take the place of the cut one.

    Attributes:
        name: the absolute path of its weights, or its arch.
        sha256: digest of that file; "" for an arch, whose network is not trained yet.
        data: the bytes of its weights file.
    """

    name: str
    sha256: str
    card: WeightsCard
    net: ResNet
    data: bytes


def open_student(text: str, whole: Header, *, settings: Settings, seed: int = 0) -> Student:
    """Return the student: a run, a weights file, or an arch with fresh parameters that follow from the seed.

    Raises:
        UsageError: it is not smaller than the whole network, it is an ONNX file, or its arch cannot read the images.
        WeightsError: it has other classes, a head, or reads another number of channels, or its file is damaged.
        InputError: there is no such run and no such arch.
        PluginError: its block needs a plugin that is not installed.
    """
    name = settled_name(text, settings)
    require_plugins(whole.card, whole.path)
    require_classifier(whole.card, whole.path)
    student = _fresh(name, whole.card, seed=seed) if name in registry.names("arch") else _trained(name)
    card = student.card
    try:
        calibration.class_order(whole.card.classes, card.classes, name=whole.path.name)
    except DataError as error:
        message = "the student has other classes than the network that teaches it"
        raise WeightsError(message, where=name, problems=error.problems) from None
    if card.image.channels != whole.card.image.channels:
        raise WeightsError(
            f"the student reads images of {card.image.channels} channels, and the network that teaches it "
            f"{whole.card.image.channels}",
            where=name,
        )
    own, most = params(student.net), _params(whole.card)
    if own >= most:
        raise UsageError(
            f"the student has {own:,} parameters, and the network that teaches it {most:,}: it must have fewer",
            where=HERE,
        )
    return student


def settled_name(text: str, settings: Settings) -> str:
    """Return the absolute path of the student's weights, or its arch. Raises as `open_student`."""
    is_arch = text in registry.names("arch")
    if is_arch and not Path(text).exists() and not (settings.runs_dir / text).exists():
        return text
    try:
        target = resolve(text, settings)
    except InputError as error:
        archs = Call("plugins list", note="lists the archs")
        near = filter(None, [closest(text, registry.names("arch"))])
        raise type(error)(error.message, where=error.where, hint=[*near, *error.hint, archs]) from None
    if target.kind == "onnx":
        hint = "name a run, a weights file or an arch"
        raise UsageError("an ONNX file cannot be a student", where=str(target.path), hint=hint)
    return str(target.path.resolve())


def measure_student(student: Student, whole: Header, *, store: Store, int8: bool) -> StudentFacts:
    """Time the student's file against that of the whole network, and measure its accuracy before the training.

    Raises:
        CheckFailed: it is slower than the whole network.
        DataError: the dataset has other classes.
    """
    judge = Judge(student.card, store, val_of=whole.card)
    seen = judge.seen()
    images = {BASE: Judge(whole.card, store).seen(), FLOAT: seen, INT8: seen}
    base, _ = opened(exported(load_network(whole), whole.card))
    files = {FLOAT: opened(data := exported(student.net, student.card))}
    if int8:
        files[INT8] = opened(data, calibrate_on=seen)
    models = {form: model for form, (model, _) in files.items()}
    times = milliseconds({BASE: base, FLOAT: models[FLOAT]}, images=images)
    measured = speedups(base, models, images=images)
    gain = measured[FLOAT][1]
    if gain.high < 1:  # in three of four samples
        raise CheckFailed(
            f"the student is slower than the network that teaches it: {gain.median:.2f} times the speed "
            f"({gain.low:.2f} to {gain.high:.2f})",
            where=student.name,
        )
    return StudentFacts(
        source=student.name,
        arch=student.card.arch.name,
        params=params(student.net),
        milliseconds=(times[BASE], times[FLOAT]),
        forms={
            form: FileFacts(bytes=size, speedup={str(images): gain for images, gain in measured[form].items()})
            for form, (_, size) in files.items()
        },
        accuracy=judge.accuracy(student.net),
    )


def seen_notices(student: WeightsCard, whole: WeightsCard, *, data: str) -> tuple[str, ...]:
    """Return a notice when the student's own training may have shown it images of val."""
    if student.trained_on.get("name") != data or student.split == whole.split:
        return ()
    return ("the student was trained on another split of the data, so val may flatter it: compare the two on test",)


def _fresh(name: str, whole: WeightsCard, *, seed: int) -> Student:
    arch = registry.get("arch", name).resolve_stem(whole.image.size)
    needed = registry.distribution_of("block", arch.block)
    card = dataclasses.replace(
        whole,
        arch=arch,
        plugins=Plugins(required=needed, used=needed),
        trained_on=NOTHING,
        split=None,
        metrics={},
        calibration=None,
        teacher={},
        config_sha256="",
        version=__version__,
        channels={},
        val_seen=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.derive(seed, "init"))
        net = build(arch, classes=len(card.classes), image=card.image).eval()
    return Student(name=name, sha256="", card=card, net=net, data=to_bytes(net.state_dict(), card))


def _trained(name: str) -> Student:
    header = read_header(path := Path(name))
    net = load_network(header)
    return Student(name=name, sha256=storage.sha256(path), card=header.card, net=net, data=path.read_bytes())


def _params(card: WeightsCard) -> int:
    with torch.device("meta"):
        return params(build(card.arch, classes=len(card.classes), image=card.image, channels=card.channels))
