"""Resolve `[TARGET]` to a run, a weights file or an ONNX file, and load its predictor. ONNX needs no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import resnetctl.runs as runs
from resnetctl.engine.hardware.device import pick_device
from resnetctl.engine.hardware.precision import Precision, pick_precision
from resnetctl.engine.hardware.threads import pick_threads
from resnetctl.errors import PluginError, ResnetctlError, UsageError, WeightsError, WorkFailed
from resnetctl.hints import Call, Setting
from resnetctl.registry.code import OTHER_CODE, edited
from resnetctl.report.outcomes import Measurement
from resnetctl.runs import RunDir
from resnetctl.spec import WeightsCard
from resnetctl.system.machine import cores_granted
from resnetctl.system.plain_files import close_path, expanded
from resnetctl.system.settings import Settings
from resnetctl.tasks import remarks
from resnetctl.weights.file import Header, load_network, newest, read_header, require_classifier
from resnetctl.weights.plugins import explaining, has_plugins, require_plugins
from resnetctl.wording import with_article

if TYPE_CHECKING:
    import torch

    from resnetctl.deploy.onnx_card import OnnxCard
    from resnetctl.deploy.onnx_session import OnnxModel
    from resnetctl.engine.metrics import Predictor
    from resnetctl.engine.predictors import FeaturePredictor

Outcome = TypeVar("Outcome", bound=Measurement)
MANY = 128  # images a core: two batches
OWN_REPORT = "the report is a file of its own: these are not the numbers of the code that trained the weights"
PICKLES = (".pth", ".pt", ".th", ".bin", ".ckpt")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A file that can predict. `run` is the run that it belongs to; `notices` are sentences for the user."""

    kind: Literal["weights", "onnx"]
    path: Path
    run: RunDir | None = None
    notices: tuple[str, ...] = ()

    @cached_property
    def header(self) -> Header:
        """The header of a weights file, parsed once, with what its run knows of plugins. Raises `WeightsError`."""
        header = read_header(self.path)
        return header if self.run is None else replace(header, code=self.run.code())

    @cached_property
    def edited(self) -> list[str]:
        """The plugins that the network needs and that have other code than when the run trained its weights."""
        if self.run is None or self.kind == "onnx":
            return []
        needed = self.header.card.plugins.required
        return edited({name: digests for name, digests in self.run.code().items() if name in needed})

    @cached_property
    def exported(self) -> OnnxCard:
        """The card of an ONNX file, which was checked once. Raises `WeightsError`."""
        from resnetctl.deploy import onnx_session
        from resnetctl.deploy.onnx_checks import check

        return check(onnx_session.read_bytes(self.path), str(self.path))


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A loaded target: `predict` maps raw uint8 images (B, S, S, C) to logits (B, K), and `card` names the classes.

    `digest` is that of `described`, of the file that was loaded: a running training may have replaced it since. With
    `takes_originals`, images are (B, H, W, C) of any size: the file resizes them itself. `read` returns logits and
    features where the card says what features are familiar; None elsewhere. `callers` threads at once are fastest.
    """

    card: WeightsCard
    digest: str
    predict: Predictor
    takes_originals: bool = False
    read: FeaturePredictor | None = None
    callers: int = 1


def resolve(text: str | Path | None, settings: Settings, *, needs_network: bool = True) -> Target:
    """Return the target: a run's folder or name, a `.safetensors` or a `.onnx` file; None is the newest run.

    Args:
        needs_network: the network of a run will be built. False: its card is all.

    Raises:
        InputError: there is no such run, or no run at all.
        WeightsError: the run has no weights, or the file is of another kind.
        PluginError: the network of the run needs a plugin that is not installed.
    """
    path = expanded(text or runs.LAST)
    if text is not None and path.suffix in (".safetensors", ".onnx", *PICKLES) and not path.is_dir():
        return _of_file(path)
    if text is not None and path.is_file():
        raise WeightsError(
            "this is neither a weights file nor an ONNX file", where=str(path), hint="*.safetensors, *.onnx or a run"
        )
    target = _of_run(runs.find(text or runs.LAST, settings.runs_dir), settings)
    if text in (None, runs.LAST) and target.run is not None:
        target = replace(target, notices=(*target.notices, *remarks.on_last(target.run, settings.runs_dir)))
    if needs_network:
        _require_plugins(target, settings)
    return target


def text(target: object) -> str | None:
    """Return the path or name of a target that Python was given. Raises `UsageError` when it is another object."""
    if not isinstance(target, str | PathLike | None):
        kind = with_article(type(target).__name__)
        raise UsageError(f"the target is a run, its name, or a file with weights, not {kind}", hint=Call("runs list"))
    return None if target is None else str(fspath(target))


def open_target(
    target: Target,
    settings: Settings,
    *,
    device: str | None = None,
    keep_threads: bool = False,
    images: int = 0,
    precision: str = "fp32",
) -> Opened:
    """Load the network.

    Args:
        images: how many will come. Of many, each core takes batches of its own from an ONNX file, and has several
            `callers`: two cores at one batch need 1.4 times the CPU time (resnet20, 32 px, onnxruntime 1.32).
        device: for weights only: ONNX files run on the CPU.
        keep_threads: leave torch's number of threads, which is one for the whole process; by default set the best.
        precision: for weights only: `bf16` is faster on some machines, and `auto` takes it there. Its logits are not
            those of fp32, so the digest is another.

    Raises:
        WeightsError: the file is missing, damaged or hostile.
        PluginError: the weights need a plugin that is not installed.
        UsageError: this machine has no such device or precision.
    """
    if target.kind == "weights":
        where = pick_device(device or settings.device)
        how = pick_precision(precision, where)
        return _open_weights(target, settings, device=where, keep_threads=keep_threads, precision=how)
    require_own_precision(precision)
    cores = settings.threads or cores_granted()
    callers = cores if images >= MANY * cores else 1
    model = start_onnx(target.path, settings if callers == 1 else replace(settings, threads=1))
    require_classifier(model.card.weights, target.path)
    if model.features is not None:
        _require_width(model.card.weights, model.width, path=target.path)
    return Opened(
        card=model.card.weights,
        digest=digest_of(model.card.weights, model.card.weights_sha256),
        predict=model.logits,
        takes_originals=model.card.input == "raw",
        read=None if model.features is None else model.read,
        callers=callers,
    )


def start_onnx(path: Path, settings: Settings) -> OnnxModel:
    """Check an ONNX file and open it with the best number of threads. Raises `WeightsError`."""
    from resnetctl.deploy import onnx_session
    from resnetctl.deploy.onnx_checks import check

    data = onnx_session.read_bytes(path)
    card = check(data, str(path))
    threads = pick_threads(settings.threads, arch=card.weights.arch, size=card.weights.image.size)
    return onnx_session.start(data, card, where=str(path), threads=threads)


def has_head(target: Target) -> bool:
    """Return whether the target is no classifier: cheap, and False for a file that `open_target` will refuse."""
    if target.kind == "weights":
        return target.header.card.head is not None
    from resnetctl.deploy import onnx_card, onnx_proto, onnx_session
    from resnetctl.deploy.protobuf import Malformed

    try:
        properties = onnx_proto.read_properties(onnx_session.read_bytes(target.path))
    except Malformed:
        return False
    return onnx_card.has_head(properties)


def described(target: Target) -> tuple[WeightsCard, str]:
    """Return the card, and a digest of weights, classes and preprocessing: of all that decides the logits.

    Builds no network. A run's weights and its ONNX file have the same digest. Raises `WeightsError`.
    """
    if target.kind == "weights":
        card, sha256 = target.header.card, target.header.sha256
    else:
        card, sha256 = target.exported.weights, target.exported.weights_sha256
    return card, digest_of(card, sha256)


def digest_of(card: WeightsCard, sha256: str) -> str:
    """Return the digest of `described`, of a card and the digest of its weights."""
    text = json.dumps([sha256, list(card.classes), card.image.to_json()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_in(precision: str, card: WeightsCard, *, sha256: str) -> str:
    """Return the digest of `described` for a network that computes in this precision."""
    return digest_of(card, sha256 if precision == "fp32" else f"{sha256} {precision}")


def takes_originals(target: Target) -> bool:
    """Return whether the target resizes images itself, as an ONNX file with raw input does. Raises `WeightsError`."""
    return target.kind == "onnx" and target.exported.input == "raw"


def require_own_precision(precision: str) -> None:
    """Raise `UsageError` for a precision that was chosen for an ONNX file: its numbers decide."""
    if precision not in ("auto", "fp32"):
        raise UsageError(
            f"an ONNX file cannot compute in {precision}: its precision is that of its numbers",
            where=Setting("precision"),
            hint="a run or a weights file can; for a faster ONNX file, export int8",
        )


def _open_weights(
    target: Target, settings: Settings, *, device: torch.device, keep_threads: bool, precision: Precision
) -> Opened:
    import torch

    from resnetctl.engine.predictors import feature_predictor, shipped_predictor

    net, header = newest(target.header, load_network)
    card, digest = header.card, digest_in(precision, header.card, sha256=header.sha256)
    if not keep_threads:
        torch.set_num_threads(pick_threads(settings.threads, arch=card.arch, size=card.image.size))
    if card.calibration is None or card.calibration.familiar is None:
        predict = shipped_predictor(net, card.image, device=device, precision=precision)
        return Opened(card=card, digest=digest, predict=explaining(predict, header))
    _require_width(card, net.fc.in_features, path=target.path)
    read = explaining(feature_predictor(net, card.image, device=device, precision=precision), header)
    return Opened(card=card, digest=digest, predict=lambda images: read(images)[0], read=read)


def _require_width(card: WeightsCard, features: int, *, path: Path) -> None:
    """Raise `WeightsError` if the card speaks of another number of features than the network has."""
    known = card.calibration.familiar if card.calibration is not None else None
    if known is not None and known.width != features:
        raise WeightsError(
            f"the card of the weights is broken: 'calibration.familiar' is about {known.width} features, "
            f"the network has {features}",
            where=str(path),
        )


def _of_run(run: RunDir, settings: Settings) -> Target:
    if run.path.is_symlink():  # another run may become the last one while this command works
        run = RunDir(run.path.parent / run.path.readlink())
    if not run.weights.is_file():
        raise _no_weights(run, settings)
    return Target(kind="weights", path=run.weights, run=run, notices=tuple(remarks.on_weights(run)))


def _require_plugins(target: Target, settings: Settings) -> None:
    """Raise as `require_plugins`, and name the newest run that works without the missing plugin."""
    if has_plugins(target.header.card):
        return
    try:
        require_plugins(target.header.card, target.path)
    except PluginError as error:
        for run in reversed(runs.all_runs(settings.runs_dir)):
            if _is_usable(run):
                error.hint += (f"{run.path} is the newest run that can be used here", Call("runs list"))
                break
        raise


def _is_usable(run: RunDir) -> bool:
    try:
        return has_plugins(read_header(run.weights).card)
    except (ResnetctlError, OSError):  # without weights, or damaged
        return False


def _no_weights(run: RunDir, settings: Settings) -> WeightsError:
    failed = run.failure() is not None
    reason = "failed in" if failed else "did not finish"
    others = [other.path for other in runs.all_runs(settings.runs_dir) if other.weights.is_file()]
    show = Call("runs show", (run.path,), note="shows the reason")
    return WeightsError(
        f"the run {run.path.name} has no weights" + (f": it {reason} its first epoch" if run.summary() is None else ""),
        where=str(run.path),
        hint=[
            show if failed else Call("train", settings={"resume": run.path}),
            *(f"{path} is the newest run with weights" for path in others[-1:]),
        ],
    )


def _of_file(path: Path) -> Target:
    if not path.exists():
        run = RunDir(path.parent.parent)  # of `RUN/export/model.onnx`
        is_export = path.suffix == ".onnx" and run.weights.is_file()
        near = [Call("export", (run.path,), {"onnx": True}, note="writes it")] if is_export else close_path(path)
        raise WeightsError("there is no such file", where=str(path), hint=[*near, Call("runs list")])
    if path.suffix in PICKLES:
        raise WeightsError(
            "weights of another program must be imported first",
            where=str(path),
            hint=Call("weights import", (path,), {"arch": "NAME", "classes": "FILE", "out": "weights.safetensors"}),
        )
    is_onnx = path.suffix == ".onnx"
    run = RunDir(path.parent.parent if is_onnx else path.parent)
    own = (run.onnx.name, run.raw_onnx.name) if is_onnx else (run.weights.name,)
    if not (run.config.is_file() and path.name in own):
        return Target(kind="onnx" if is_onnx else "weights", path=path)
    told = () if is_onnx else tuple(remarks.on_weights(run))
    return Target(kind="onnx" if is_onnx else "weights", path=path, run=run, notices=told)


def write_outcome(outcome: Outcome, target: Target, *, variant: str = "") -> Outcome:
    """Write the numbers into the run's folder. An error waits until they are shown: they matter more.

    A `variant` of the measurement has a file of its own, and so has one of a network whose code was changed.
    """
    if target.run is None:
        return outcome
    name = f"{outcome.data}-{outcome.split}"
    if target.kind == "onnx":
        name += "-onnx" if target.path.name == target.run.onnx.name else "-onnx-raw"
    name += variant and f"-{variant}"
    if target.edited:
        name += f"-{OTHER_CODE}"
        outcome = replace(outcome, notices=(*outcome.notices, OWN_REPORT))
    try:
        written = target.run.write_eval(name, outcome.to_json())
    except (UsageError, WorkFailed) as error:
        error.message = f"the report was not written: {error.message}"
        return replace(outcome, unwritten=error)
    return replace(outcome, written=written)
