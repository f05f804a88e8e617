"""`finetune`: weights in, another head on, the same `fit` as `train`."""

import copy
import dataclasses
from collections.abc import Iterator
from functools import partial

import torch

from resnetctl import registry, rng
from resnetctl.config.defaults import suited_to_finetune
from resnetctl.config.layers import from_environment, from_recipe, layer, merge, resolve
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.store import Store, open_store
from resnetctl.engine.device import pick_device
from resnetctl.engine.loop import StepResult
from resnetctl.errors import InputError, UsageError
from resnetctl.facts import Notice, TrainFact
from resnetctl.models.resnet import ResNet
from resnetctl.models.surgery import adapt_input, swap_head
from resnetctl.spec import ImageSpec, WeightsCard
from resnetctl.system import storage
from resnetctl.system.safetensors import digest
from resnetctl.system.settings import Settings
from resnetctl.tasks import config as configs
from resnetctl.tasks import datasets as data_task
from resnetctl.tasks import targets
from resnetctl.tasks.datasets import scratch
from resnetctl.tasks.train import TrainRequest, by_trial, launch, runs_folder
from resnetctl.training.dry_run import rehearse
from resnetctl.training.job import Job, fresh_state, resized, settle, suited_layer
from resnetctl.weights import file as weights_file
from resnetctl.weights import torchvision as torchvision_weights

Facts = Iterator[TrainFact | StepResult]
TORCHVISION = "torchvision:"


def finetune(request: TrainRequest, settings: Settings) -> Facts:
    """Train on from weights; yields facts as `train` does.

    Raises:
        UsageError, ConfigError, DataError, WeightsError: before the run's folder is made.
    """
    folder = runs_folder(request, settings)
    draft = resolve(FinetuneConfig, [from_environment(settings), *request.layers]).config
    configs.require_free(request.layers, budget=bool(request.budget), tune=request.tune)
    said = merge(request.layers).values
    if "data" not in said:
        raise UsageError("finetune needs to know on what", where="--data", hint="resnetctl finetune --data ./photos")
    if "augment" in said:
        registry.find("policy", draft.augment)
    pick_device(draft.device)
    data_task.identify(draft.data, settings)  # a mistake is told before weights are fetched
    loaded, sha256, path, said_of_it = _load(draft.weights, settings)
    yield from said_of_it
    if said.get("model.arch", loaded.card.arch.name) != loaded.card.arch.name:
        raise UsageError(
            f"the architecture comes from the weights: it is {loaded.card.arch.name}, not {said['model.arch']}",
            where="--arch",
        )
    with scratch(settings, draft.data, dry_run=request.dry_run) as where:
        name = yield from data_task.ensure(draft.data, where)
        store = open_store(where.data_dir, name)
        job = _settle(request, store, loaded.card, settings)
        config = job.config.model_copy(update={"weights": path})
        job = dataclasses.replace(job, config=config, weights_sha256=sha256)
        if "size" not in said:
            yield from _scaled(job)
        model, notices = _adapted(job, loaded)
        yield from notices
        job = yield from by_trial(job, partial(copy.deepcopy, model), budget=request.budget, tuned=request.tune)
        state = fresh_state(job, model)
        yield from (
            rehearse(job, state)
            if request.dry_run
            else launch(job, state, folder=folder, name=request.name, save_first=True)
        )


def _load(text: str, settings: Settings) -> tuple[weights_file.LoadedWeights, str, str, list[Notice]]:
    """The weights, their digest, how to name them in a config that repeats the run, and what to know of them."""
    if text.startswith(TORCHVISION):
        loaded = torchvision_weights.fetch(text.removeprefix(TORCHVISION), settings.data_dir)
        return loaded, digest(loaded.state), text, []
    try:
        target = targets.resolve(text or None, settings)
    except InputError as error:
        if text:
            raise
        elsewhere = "-w torchvision:resnet18, or -w FILE, starts from other weights"
        raise type(error)(error.message, where=error.where, hint=[*error.hint, elsewhere]) from None
    if target.kind != "weights":
        weights = str(target.run.weights) if target.run is not None and target.run.weights.is_file() else "WEIGHTS"
        raise UsageError(
            "finetune starts from weights, not from an ONNX file", where=str(target.path), hint=f"--weights {weights}"
        )
    header = weights_file.read_header(target.path)
    weights_file.require_plugins(header.card, target.path)
    notices = [Notice(text) for text in target.notices]
    return weights_file.load(header), storage.sha256(target.path), str(target.path.resolve()), notices


def _settle(request: TrainRequest, store: Store, card: WeightsCard, settings: Settings) -> Job:
    arch = card.arch
    fixed = {"model": {"arch": arch.name, "block": arch.block, "stem": arch.stem}}
    size = merge(request.layers).values.get("size") or card.image.size
    resolved = resolve(
        FinetuneConfig,
        [
            suited_layer(suited_to_finetune(store.card, size)),
            from_recipe("finetune"),
            from_environment(settings),
            *request.layers,
            layer(fixed, "weights"),
        ],
    )
    config = resolved.config
    image = resized(_image_for(card.image, store.card.image.channels), config.size)
    return settle(config, resolved.origins, arch=arch, image=image, store=store)


def _scaled(job: Job) -> Iterator[Notice]:
    """A word when the size of the weights makes other images of the data."""
    stored, size = job.store.card.image.size, job.image.size
    if max(stored, size) >= 2 * min(stored, size):
        verb = "reduced" if size < stored else "enlarged"
        yield Notice(f"images of {stored} px are {verb} to {size} px, the size of the weights; --size N changes it")


def _image_for(image: ImageSpec, channels: int) -> ImageSpec:
    """The weights' preprocessing for data of another channel count: mean and std are averaged and repeated."""
    if channels == image.channels:
        return image
    mean = (sum(image.mean) / image.channels,) * channels
    std = (sum(image.std) / image.channels,) * channels
    return dataclasses.replace(image, channels=channels, mean=mean, std=std)


def _adapted(job: Job, loaded: weights_file.LoadedWeights) -> tuple[ResNet, list[Notice]]:
    """The loaded net with the head for the new classes, rows kept by class name, and a first conv that fits."""
    old, config = loaded.card, job.config
    model = weights_file.instantiate(loaded, dropout=config.model.dropout, drop_path=config.model.drop_path)
    torch.manual_seed(rng.derive(config.seed, "head"))
    notices = []
    if old.classes != job.classes:
        swap_head(model, old=old.classes, new=job.classes)
        both = len(set(old.classes) & set(job.classes))
        notices.append(Notice(f"new head: {len(job.classes)} classes, {both} of them known to the weights by name"))
    if old.image.channels != job.image.channels:
        adapt_input(model, job.image.channels)
        notices.append(Notice(f"first convolution: {old.image.channels} -> {job.image.channels} channels"))
    return model, notices
