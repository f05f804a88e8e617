"""`finetune`: train on from weights with a new head, with the same `fit` as `train`."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnetctl import rng
from resnetctl.config.draft import Draft
from resnetctl.config.origins import located
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.images import resized
from resnetctl.data.store import Store, open_store
from resnetctl.engine.distributed import Team
from resnetctl.engine.hardware.device import pick_device
from resnetctl.errors import ConfigError, UsageError
from resnetctl.facts import Notice
from resnetctl.hints import Call, Hint, Setting
from resnetctl.models.dense import backbone_of, with_head
from resnetctl.models.surgery import adapt_input, swap_head
from resnetctl.spec import Arch, HeadCard, ImageSpec, WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.tasks import datasets, sources
from resnetctl.training.dense import require_head
from resnetctl.training.job import Job, settle
from resnetctl.training.launch import Facts, launch, require_place
from resnetctl.weights import file as weights_file
from resnetctl.weights.file import NamedWeights
from resnetctl.weights.plugins import unbuildable
from resnetctl.weights.torchvision import NAMES as TORCHVISION_NAMES
from resnetctl.wording import counted

BLOCK_ARGS = "model.block_args."


def finetune(draft: Draft[FinetuneConfig], settings: Settings, *, team: Team | None = None) -> Facts:
    """Train on from weights: yield facts as `train` does, in every process of a `team`.

    Raises:
        UsageError, ConfigError, DataError, WeightsError: before the run folder is created.
        Stopped, WorkFailed: as `consume`.
    """
    team = team or Team()
    with team.preparing(), located(draft.asked.origins):
        yield from _finetune(draft, settings, team)


def _finetune(draft: Draft[FinetuneConfig], settings: Settings, team: Team) -> Facts:
    config, request, chosen = draft.config, draft.request, draft.asked.values
    folder = require_place(request, settings)
    if "data" not in chosen:
        hint = Call("finetune", settings={"data": "./photos"})
        raise UsageError("finetune needs to know which data to train on", where=Setting("data"), hint=hint)
    pick_device(config.device)
    # report a wrong name, or a head for other data, before weights are fetched
    if datasets.identify(config.data, settings) == "stored" and config.model.head:
        require_head(config, open_store(settings.data_dir, config.data).card)
    origins = draft.asked.origins
    start = sources.open_weights(config.weights, settings)
    yield from map(Notice, start.notices)
    digest_origin = origins.get("weights_sha256", "")
    sources.require_same_bytes(start, config.weights_sha256, key="weights", origin=digest_origin)
    teacher = sources.open_teacher(config.distill, settings, origin=origins.get("distill.teacher_sha256", ""))
    _require_same_arch(chosen, start.weights.card.arch, config=config, start=start)
    datasets.require_head_before(config, settings)
    with datasets.scratch(settings, config.data, dry_run=request.dry_run) as place:
        name = yield from datasets.ensure_in_turn(config.data, place, team=team, is_kept=place is settings)
        job = _prepare(draft, open_store(place.data_dir, name), start, teacher=teacher)
        if seen := _seen(job, start.weights.card):
            job = dataclasses.replace(job, val_seen=True)
            yield Notice(f"{seen} val accuracy is too good, and it chooses the epoch; believe `eval`, on test")
        if "size" not in chosen:
            yield from _scaled(job)
        model, notices = _adapted(job, start)
        yield from notices
        # a copy for each call: timed steps must not train the weights that the run starts from
        copy_of_model = partial(copy.deepcopy, model)
        yield from launch(job, copy_of_model, draft=draft, folder=folder, save_first=True, team=team)


def _require_same_arch(chosen: Mapping[str, Any], arch: Arch, *, config: FinetuneConfig, start: NamedWeights) -> None:
    """Raise `UsageError` when the config asks for another network than that of the weights."""
    whose = config.weights or f"{Path(start.name).parent.name}, the newest run"
    own: dict[str, Any] = {"model.arch": arch.name, "model.block": arch.block, "model.stem": arch.stem}
    own |= {"model.activation": arch.activation or "relu", "model.norm": arch.norm or "batch"}
    own |= {BLOCK_ARGS + name: value for name, value in arch.block_args.items()}
    for key, value in chosen.items():
        is_decided = key in own or key.startswith(BLOCK_ARGS)
        if is_decided and value not in (own.get(key), "", "auto"):
            noun = key.rpartition(".")[2]
            known = f"it is {own[key]}, not {value}" if key in own else "it has none"
            hint = _other_arch(str(value), data=config.data) if key == "model.arch" else []
            raise UsageError(f"{noun} comes from the weights of {whose}: {known}", where=Setting(key), hint=hint)
    for key in ("model.zero_init", "model.init"):
        if chosen.get(key):
            raise UsageError("finetune keeps the weights of every block", where=Setting(key))


def _other_arch(name: str, *, data: str) -> list[Hint]:
    """Return how to train the network `name` instead: from torchvision's weights, if it has them, or from scratch."""
    weights = f"{sources.TORCHVISION}{name}"
    starts: list[Hint] = [Setting("weights", weights, note="starts from ImageNet")] if name in TORCHVISION_NAMES else []
    return [*starts, Call("train", settings={"data": data, "arch": name}, note="trains from scratch")]


def _prepare(draft: Draft[FinetuneConfig], store: Store, start: NamedWeights, *, teacher: NamedWeights | None) -> Job:
    """Return the job: the weights decide architecture and preprocessing, the draft the rest."""
    card = start.weights.card
    resolved = draft.settled(store.card, card)
    image = resized(_image_for(card.image, store.card.image.channels), resolved.config.size)
    if store.card.truth != "labels":  # pictures with boxes or masks are seen whole
        image = dataclasses.replace(image, resize=image.size, fit=store.card.image.fit)
    try:
        job = settle(resolved, store, arch=card.arch, image=image, teacher=teacher)
    except ConfigError as error:
        if not error.keys or not all(key.startswith(BLOCK_ARGS) for key in error.keys):
            raise
        raise unbuildable(error, card, path=start.weights.path, code=start.weights.code) from error  # as they are
    config = job.config.model_copy(update={"weights": start.name, "weights_sha256": start.sha256})
    origins = {**job.origins, "weights_sha256": "weights"}
    head = _known_numbers(job.head, card.head)
    return dataclasses.replace(
        job, config=config, origins=origins, weights_sha256=start.sha256, channels=card.channels, head=head
    )


def _known_numbers(head: HeadCard | None, old: HeadCard | None) -> HeadCard | None:
    """Return the head; the same columns are standardised as those that the weights learned from."""
    if head is None or head.vector is None or old is None or old.vector is None:
        return head
    same = head.vector.columns == old.vector.columns
    return dataclasses.replace(head, vector=old.vector) if same else head


def _scaled(job: Job) -> Iterator[Notice]:
    """Yield a notice if the images are resized by a factor of two or more to the size of the weights."""
    stored, size = job.store.card.image.size, job.image.size
    if max(stored, size) >= 2 * min(stored, size):
        verb = "reduced" if size < stored else "enlarged"
        hint = (Setting("size", "N", note="uses another size"),)
        yield Notice(f"images of {stored} px are {verb} to {size} px, the size of the weights", hint=hint)


def _seen(job: Job, card: WeightsCard) -> str:
    """Return that the weights have learned images of val, or may have; "" if they have not."""
    data, digest = job.store.card, card.trained_on.get("digest", "")
    if job.split is None:
        return ""
    if not card.trained_on:
        is_known = set(card.classes) == set(job.classes)
        return "the weights do not say which images they have trained on; if images of val were among them," * is_known
    is_same = digest == data.digests.get("train")
    if not (is_same or digest in data.replaced) or (is_same and card.split == job.split and not card.val_seen):
        return ""
    why = f"'{data.name}' was replaced since" if not is_same else "they had another val split"
    if is_same and card.split == job.split:
        return "the weights that these began with have trained, or may have, on images that are in val now:"
    return f"the weights have trained on images that are in val now ({why}):"


def _image_for(image: ImageSpec, channels: int) -> ImageSpec:
    """Return the weights' preprocessing for `channels` channels: mean and std are averaged and repeated."""
    if channels == image.channels:
        return image
    mean = (sum(image.mean) / image.channels,) * channels
    std = (sum(image.std) / image.channels,) * channels
    return dataclasses.replace(image, channels=channels, mean=mean, std=std)


def _adapted(job: Job, start: NamedWeights) -> tuple[nn.Module, list[Notice]]:
    """Return the network with a head and a first convolution for the new data. Known classes keep their rows.

    A head for boxes or masks starts fresh, unless the weights have the same one for the same classes; the trunk keeps
    its bits.
    """
    if job.head is not None:
        return _with_head(job, start)
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


def _with_head(job: Job, start: NamedWeights) -> tuple[nn.Module, list[Notice]]:
    """Return a network with the head of the job on the trunk of the weights."""
    assert job.head is not None
    old, config = start.weights.card, job.config
    same_input = old.image.channels == job.image.channels
    if old.head is not None and (old.head, old.classes, same_input) == (job.head, job.classes, True):
        return weights_file.instantiate_net(start.weights), []
    trunk: Any
    if old.head is None:
        rates = {"dropout": config.model.dropout, "drop_path": config.model.drop_path}
        trunk = weights_file.instantiate(start.weights, **rates)
    else:
        trunk = backbone_of(weights_file.instantiate_net(start.weights))
    notices = [Notice(f"new head: {job.head.name}, for {counted(len(job.classes), 'class')}")]
    if not same_input:
        adapt_input(trunk, job.image.channels)
        notices.append(Notice(f"first convolution: {old.image.channels} -> {counted(job.image.channels, 'channel')}"))
    torch.manual_seed(rng.derive(config.seed, "head"))
    return with_head(trunk, job.head, classes=len(job.classes), image=job.image), notices
