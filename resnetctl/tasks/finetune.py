"""`finetune`: train on from weights with a new head, with the same `fit` as `train`."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from resnetctl import rng
from resnetctl.config.draft import Draft
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.store import Store, open_store
from resnetctl.engine.device import pick_device
from resnetctl.errors import InputError, UsageError, WeightsError
from resnetctl.facts import Notice
from resnetctl.hints import Call, Setting
from resnetctl.models.resnet import ResNet
from resnetctl.models.surgery import adapt_input, swap_head
from resnetctl.spec import Arch, ImageSpec
from resnetctl.system import storage
from resnetctl.system.safetensors import digest
from resnetctl.system.settings import Settings
from resnetctl.tasks import datasets, targets
from resnetctl.training.job import Job, resized, settle
from resnetctl.training.launch import Facts, launch, require_place
from resnetctl.weights import file as weights_file
from resnetctl.weights import torchvision as torchvision_weights
from resnetctl.weights.file import LoadedWeights
from resnetctl.wording import counted

TORCHVISION = "torchvision:"
BLOCK_ARGS = "model.block_args."


def finetune(draft: Draft[FinetuneConfig], settings: Settings) -> Facts:
    """Train on from weights: yield facts as `train` does.

    Raises:
        UsageError, ConfigError, DataError, WeightsError: before the run folder is created.
        Stopped, WorkFailed: as `consume`.
    """
    config, request, chosen = draft.config, draft.request, draft.asked.values
    folder = require_place(request, settings)
    if "data" not in chosen:
        hint = Call("finetune", settings={"data": "./photos"})
        raise UsageError("finetune needs to know which data to train on", where=Setting("data"), hint=hint)
    pick_device(config.device)
    datasets.identify(config.data, settings)  # report a wrong name before weights are fetched
    start = _start(config.weights, settings)
    yield from start.notices
    _require_same_bytes(config, draft.asked.origins, start)
    _require_same_arch(chosen, start.weights.card.arch)
    with datasets.scratch(settings, config.data, dry_run=request.dry_run) as place:
        name = yield from datasets.ensure(config.data, place, is_kept=place is settings)
        job = _prepare(draft, open_store(place.data_dir, name), start)
        if "size" not in chosen:
            yield from _scaled(job)
        model, notices = _adapted(job, start)
        yield from notices
        # a copy for each call: timed steps must not train the weights that the run starts from
        copy_of_model = partial(copy.deepcopy, model)
        yield from launch(job, copy_of_model, request=request, folder=folder, save_first=True)


@dataclass(frozen=True, kw_only=True)
class Start:
    """The weights that a run starts from.

    Attributes:
        weights: state dict and card.
        sha256: digest of the file, or of the tensors if they come from torchvision.
        name: their name in the run's config. A path is absolute, so the run can be repeated from any folder.
        notices: what the user should know about them.
    """

    weights: LoadedWeights
    sha256: str
    name: str
    notices: tuple[Notice, ...] = ()


def _start(text: str, settings: Settings) -> Start:
    if text.startswith(TORCHVISION):
        fetched = torchvision_weights.fetch(text.removeprefix(TORCHVISION), settings.data_dir)
        return Start(weights=fetched, sha256=digest(fetched.state), name=text)
    try:
        target = targets.resolve(text or None, settings)
    except InputError as error:
        if text:
            raise
        others = Setting("weights", "torchvision:resnet18", note="or a file starts from other weights")
        raise type(error)(error.message, where=error.where, hint=[*error.hint, others]) from None
    if target.kind != "weights":
        has_weights = target.run is not None and target.run.weights.is_file()
        weights = str(target.run.weights) if target.run is not None and has_weights else "WEIGHTS"
        raise UsageError(
            "finetune starts from weights, not from an ONNX file",
            where=str(target.path),
            hint=Setting("weights", weights),
        )
    header = weights_file.read_header(target.path)
    weights_file.require_plugins(header.card, target.path)
    return Start(
        weights=weights_file.load(header),
        sha256=storage.sha256(target.path),
        name=str(target.path.resolve()),
        notices=tuple(map(Notice, target.notices)),
    )


def _require_same_bytes(config: FinetuneConfig, origins: Mapping[str, str], start: Start) -> None:
    """Raise `WeightsError` when the config records another digest than that of the weights."""
    if config.weights_sha256 not in ("", start.sha256):
        raise WeightsError(
            f"these are other weights than the config asks for: SHA-256 {start.sha256}, not {config.weights_sha256}",
            where=f"{start.name}, weights_sha256 of {origins['weights_sha256']}",
            hint=Setting("weights", start.name, note="starts from these weights all the same"),
        )


def _require_same_arch(chosen: Mapping[str, Any], arch: Arch) -> None:
    """Raise `UsageError` when the config asks for another network than that of the weights."""
    own: dict[str, Any] = {"model.arch": arch.name, "model.block": arch.block, "model.stem": arch.stem}
    own |= {BLOCK_ARGS + name: value for name, value in arch.block_args.items()}
    for key, value in chosen.items():
        is_decided = key in own or key.startswith(BLOCK_ARGS)
        if is_decided and value not in (own.get(key), "", "auto"):
            noun = key.rpartition(".")[2]
            known = f"it is {own[key]}, not {value}" if key in own else "it has none"
            raise UsageError(f"{noun} comes from the weights of {arch.name}: {known}", where=Setting(key))
    if chosen.get("model.zero_init"):
        raise UsageError("finetune keeps the weights of every block", where=Setting("model.zero_init"))


def _prepare(draft: Draft[FinetuneConfig], store: Store, start: Start) -> Job:
    """Return the job: the weights decide architecture and preprocessing, the draft the rest."""
    card = start.weights.card
    resolved = draft.settled(store.card, card)
    image = resized(_image_for(card.image, store.card.image.channels), resolved.config.size)
    job = settle(resolved, store, arch=card.arch, image=image)
    config = job.config.model_copy(update={"weights": start.name, "weights_sha256": start.sha256})
    origins = {**job.origins, "weights_sha256": "weights"}
    return dataclasses.replace(job, config=config, origins=origins, weights_sha256=start.sha256)


def _scaled(job: Job) -> Iterator[Notice]:
    """Yield a notice if the images are resized by a factor of two or more to the size of the weights."""
    stored, size = job.store.card.image.size, job.image.size
    if max(stored, size) >= 2 * min(stored, size):
        verb = "reduced" if size < stored else "enlarged"
        hint = (Setting("size", "N", note="uses another size"),)
        yield Notice(f"images of {stored} px are {verb} to {size} px, the size of the weights", hint=hint)


def _image_for(image: ImageSpec, channels: int) -> ImageSpec:
    """Return the weights' preprocessing for `channels` channels: mean and std are averaged and repeated."""
    if channels == image.channels:
        return image
    mean = (sum(image.mean) / image.channels,) * channels
    std = (sum(image.std) / image.channels,) * channels
    return dataclasses.replace(image, channels=channels, mean=mean, std=std)


def _adapted(job: Job, start: Start) -> tuple[ResNet, list[Notice]]:
    """Return the network with a head and a first convolution for the new data. Known classes keep their rows."""
    old, config = start.weights.card, job.config
    model = weights_file.instantiate(start.weights, dropout=config.model.dropout, drop_path=config.model.drop_path)
    torch.manual_seed(rng.derive(config.seed, "head"))
    notices = []
    if old.classes != job.classes:
        swap_head(model, old=old.classes, new=job.classes)
        both = len(set(old.classes) & set(job.classes))
        notices.append(
            Notice(f"new head: {counted(len(job.classes), 'class')}, {both} of them known to the weights by name")
        )
    if old.image.channels != job.image.channels:
        adapt_input(model, job.image.channels)
        notices.append(Notice(f"first convolution: {old.image.channels} -> {counted(job.image.channels, 'channel')}"))
    return model, notices
