"""Turn a config into everything that a training run needs: a settled job, then its model and state.

`train`, `finetune`, `resume` and `bench` differ only in how they build the `Job` and in the first weights.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch

from resnetctl import __version__, registry, rng
from resnetctl.compress.opinions import Opinions
from resnetctl.compress.teacher import Teacher, hire
from resnetctl.config import class_weights
from resnetctl.config.arguments import config_with_floats
from resnetctl.config.defaults import described, final_arch, plugins_of
from resnetctl.config.digest import config_sha256
from resnetctl.config.draft import Draft
from resnetctl.config.layers import Resolved, flatten, nest
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.config.shards import require_images
from resnetctl.data.images import resized
from resnetctl.data.loader import hold, sample, steps_per_epoch
from resnetctl.data.splits import ImageSet, open_sets
from resnetctl.data.storage.windows import require_cache
from resnetctl.data.store import Store
from resnetctl.engine import graph, schedule
from resnetctl.engine.hardware.device import claim_device, place
from resnetctl.engine.hardware.precision import pick_precision
from resnetctl.engine.hardware.threads import pick_threads
from resnetctl.engine.loop import TrainState
from resnetctl.engine.optim import build_optimizer
from resnetctl.errors import ConfigError, DataError
from resnetctl.hints import Setting
from resnetctl.models.dense import parts, with_head
from resnetctl.models.limits import require_first_size, require_statistics
from resnetctl.models.resnet import build, with_defaults
from resnetctl.models.surgery import freeze, initialise, zero_branches
from resnetctl.spec import Arch, Calibration, HeadCard, ImageSpec, Transform, ValSplit, WeightsCard
from resnetctl.system.machine import keep_freed_memory
from resnetctl.training.dense import chosen_head, require_head
from resnetctl.training.plugin_trial import try_plugins
from resnetctl.training.policy_schedule import repeats, run_augmentation
from resnetctl.weights.file import NamedWeights


@dataclass(frozen=True, kw_only=True)
class Job:
    """The settled description of a run: every automatic choice is made.

    Attributes:
        config: what the run computes.
        origins: where each config value came from, by dotted key.
        arch: the architecture, with the block and the stem that the config chose.
        image: the preprocessing of the network's input.
        store: the dataset.
        train, val: the dataset's train split, divided as the config says; `split` records how.
        weights_sha256: digest of the weights that the run starts from; empty when it starts from scratch.
        teacher: the network that teaches; None without one.
        opinions: its logits of train, not computed before a step asks for them.
        head: None: the classifier of the arch.
        channels: shapes of the layers that are narrower than in the arch.
        val_seen: whether the weights it begins with may have learned images of val.
        unused: what the config asks for and this machine does not have.
        idle: parameters that a plugin's block has and does not use, such as `gate.weight`.
    """

    config: TrainConfig
    origins: Mapping[str, str]
    arch: Arch
    image: ImageSpec
    store: Store
    train: ImageSet
    val: ImageSet | None
    split: ValSplit | None
    weights_sha256: str = ""
    teacher: Teacher | None = None
    opinions: Opinions | None = None
    head: HeadCard | None = None
    channels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    val_seen: bool = False
    unused: str = ""
    idle: tuple[str, ...] = ()

    @property
    def primary(self) -> str:
        """The number that chooses the best epoch."""
        primary: str = "top1" if self.head is None else registry.get("task", self.head.task).primary
        return primary

    @property
    def classes(self) -> tuple[str, ...]:
        return self.store.card.classes

    @property
    def device(self) -> torch.device:
        return torch.device(self.config.device)

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.train), self.config.batch_size)

    @property
    def mirror(self) -> bool:
        """Whether a mirrored image keeps its class, as the dataset's card says."""
        return bool(self.store.card.defaults.get("mirror", True))

    @property
    def steps(self) -> int:
        return self.config.steps or self.config.epochs * self.steps_per_epoch

    @property
    def epochs(self) -> int:
        """The epochs of the run; the last one may be incomplete."""
        return -(-self.steps // self.steps_per_epoch)

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """The side of the training images over the run: `(first step, pixels)` of each stretch."""
        return schedule.stretches(steps=self.steps, size=self.image.size, progressive=self.config.progressive)

    @property
    def known(self) -> Opinions | None:
        """The teacher's logits of train if every epoch shows the same images; None if they change."""
        same = repeats(self.config, self.train, image=self.image, sides=len(self.sides), epochs=self.epochs)
        return self.opinions if same else None

    @cached_property
    def held_val(self) -> torch.Tensor | None:
        """The images of val on an accelerator, as `hold` puts them there; None where val is read batch by batch."""
        return None if self.val is None else hold(self.val, self.image, device=self.device)

    def card(self, metrics: Mapping[str, float], *, calibration: Calibration | None = None) -> WeightsCard:
        """Return the card for the weights of this run."""
        return WeightsCard(
            arch=self.arch,
            classes=self.classes,
            image=self.image,
            plugins=plugins_of(self.config, self.arch, head=self.head),
            trained_on={"name": self.store.card.name, "digest": self.store.card.digests.get("train", "")},
            split=self.split,
            metrics=metrics,
            calibration=calibration,
            teacher=self._taught_by(),
            config_sha256=config_sha256(self.config, self.weights_sha256),
            version=__version__,
            head=self.head,
            channels=self.channels,
            val_seen=self.val_seen,
        )

    def _taught_by(self) -> dict[str, str]:
        if self.teacher is None:
            return {}
        return {"arch": self.teacher.arch, "sha256": self.teacher.sha256, "method": self.config.distill.method}


def prepare(draft: Draft[TrainConfig], store: Store, *, teacher: NamedWeights | None = None) -> Job:
    """Return the job of a run from scratch that `draft` describes, on the data in `store`. Raises as `settle`."""
    resolved = draft.settled(store.card)
    image = resized(store.card.image, resolved.config.size)
    return settle(resolved, store, arch=final_arch(resolved.config.model), image=image, teacher=teacher)


def settle(
    resolved: Resolved[TrainConfig],
    store: Store,
    *,
    arch: Arch,
    image: ImageSpec,
    teacher: NamedWeights | None = None,
    head: HeadCard | None = None,
) -> Job:
    """Make every automatic choice once, and write it into the config. Sets torch's threads and malloc's limits.

    `head` is that of a checkpoint; None takes the head of the config, and fits its anchors to train.

    Raises:
        ConfigError: values of the config contradict each other, or the data.
        DataError: the data has one class, so there is nothing to learn.
        WeightsError: the teacher does not know the classes of the data, or reads other images.
        PluginError: a plugin's block, policy, optimizer, schedule or objective fails its trial.
    """
    config = resolved.config
    require_head(config, store.card)
    if len(store.card.classes) < 2 and store.card.truth not in ("boxes", "tags"):
        raise DataError(
            f"the dataset '{store.card.name}' has one class, '{store.card.classes[0]}': there is nothing to learn",
            where=str(store.path),
            hint="a dataset is a folder with one folder per class, not one of these folders",
        )
    arch = with_defaults(arch.resolve_stem(image.size))
    device = claim_device(config.device, exact=config.exact)
    choices = {
        "device": str(device),
        "precision": pick_precision(config.precision, device),
        "threads": pick_threads(config.threads, arch=arch, size=image.size, shards=config.shards),
        "size": image.size,
        "data": store.card.name,
        "class_weights": class_weights.settled(config.class_weights, store.card.classes),
        "graph": config.graph if device.type == "cuda" else "off",  # on CUDA `_with_graph` decides
    }
    automatic = {key for key in choices if getattr(config, key) in ("auto", 0)}
    model = config.model.model_copy(update=described(arch))
    distill = config.distill
    if teacher is not None:
        distill = distill.model_copy(update={"teacher": teacher.name, "teacher_sha256": teacher.sha256})
    settled = config_with_floats(config).model_copy(update={**choices, "distill": distill, "model": model})
    torch.set_num_threads(settled.threads)
    if device.type == "cpu":
        keep_freed_memory()
    train, val, split = open_sets(store, val_fraction=config.val_fraction, seed=config.split_seed)
    require_cache(train, config)
    if config.early_stop and val is None:
        raise ConfigError("early_stop needs a val split", hint=Setting("val_fraction", 0.1))
    keys = flatten(settled.model_dump())
    taught_by = hire(teacher, store.card, device=device) if teacher is not None else None
    job = Job(
        config=settled,
        origins={key: "rule" if key in automatic else resolved.origins.get(key, "default") for key in keys},
        arch=arch,
        image=image,
        store=store,
        train=train,
        val=val,
        split=split,
        teacher=taught_by,
        opinions=None if taught_by is None else Opinions(taught_by, train, image),
        head=head or chosen_head(settled, train, image=image, vector=store.card.vector),
    )
    require_first_size(arch, first=job.sides[0][1], size=image.size, unit=settled.progressive.size_increment)
    require_images(settled.shards, batch_size=settled.batch_size)
    idle = try_plugins(arch, settled, image=image, classes=len(job.classes), mirror=job.mirror)
    return _with_graph(dataclasses.replace(job, idle=tuple(idle)), wanted=config.graph)


def lasting(job: Job, length: Mapping[str, int], *, draft: Draft[TrainConfig], origin: str) -> Job:
    """Return the job with another length, and with what the rules give for it. All other choices stay.

    Args:
        length: the keys `epochs` and `steps`; one of them is 0.
        draft: the draft of the job.
        origin: where the length comes from.

    Raises `ConfigError` when the batch that a rule gives has too few images for the shards.
    """
    old, new = (each.settled(job.store.card) for each in (draft, draft.lasting(length, origin=origin)))
    before, after = flatten(old.config.model_dump()), flatten(new.config.model_dump())
    changed = [key for key in after if (after[key], new.origins[key]) != (before.get(key), old.origins.get(key))]
    values = flatten(job.config.model_dump()) | {key: after[key] for key in changed}
    config = type(job.config).model_validate(nest(values))
    require_images(config.shards, batch_size=config.batch_size)
    origins = {**job.origins, **{key: new.origins[key] for key in changed}}
    return _with_graph(dataclasses.replace(job, config=config, origins=origins), wanted=draft.config.graph)


def _with_graph(job: Job, *, wanted: str) -> Job:
    """Return the job with the level of CUDA graphs that works, and with a sentence if the wanted one does nothing.

    Raises as `augmentation_of`, for a policy that cannot move boxes or masks.
    """
    level, _ = graph.level(
        job.config, augmentation_of(job), image=job.image, device=job.device, images=job.train.images
    )
    is_lost = wanted in graph.LEVELS[:-1] and job.device.type != "cuda"
    unused = f"graph={wanted} does nothing here: the device is {job.device.type}, and only CUDA has graphs"
    return dataclasses.replace(
        job, config=job.config.model_copy(update={"graph": level}), unused=unused if is_lost else ""
    )


def fresh_model(job: Job) -> torch.nn.Module:
    """Return a model with initial weights drawn from the seed.

    Raises `ConfigError` as `zero_branches` and `initialise`, and what `models.dense.with_head` raises.
    """
    torch.manual_seed(rng.derive(job.config.seed, "init"))
    config = job.config.model
    rates = {"dropout": config.dropout, "drop_path": config.drop_path}
    model = build(job.arch, classes=len(job.classes), image=job.image, channels=job.channels, **rates)
    if config.zero_init:
        zero_branches(model)
    if config.init:
        initialise(model, config.init, images=sample(job.train, job.image, seed=job.config.seed))
    return model if job.head is None else with_head(model, job.head, classes=len(job.classes), image=job.image)


def fresh_state(job: Job, model: torch.nn.Module) -> TrainState:
    """Return the state before the first step: memory layout, frozen parts, optimizer and EMA as the config says.

    Raises `ConfigError` when batch norm cannot train on batches of this size.
    """
    place(model, job.device)
    config, scale, thaws = job.config, 1.0, False
    frozen: tuple[torch.nn.Module, ...] = ()
    if isinstance(config, FinetuneConfig):
        frozen, thaws = freeze(parts(model), config.freeze), bool(config.thaw_epoch)
        scale = config.optim.backbone_lr_scale
    *stages, head = (
        [parameter for module in modules for parameter in module.parameters()] for modules in parts(model).values()
    )
    optimizer = build_optimizer(model, config, head=head, backbone_scale=scale, stages=stages, with_frozen=thaws)
    if job.config.batch_size == 1:
        require_statistics(model, frozen, channels=job.image.channels, side=job.sides[0][1])
    return TrainState.fresh(
        model, optimizer, device=job.device, ema_decay=config.ema_decay, frozen=frozen, precision=config.precision
    )


def augmentation_of(job: Job) -> Transform:
    """Return the function that augments every training batch of a run."""
    truth, classes = job.store.card.truth, len(job.classes)
    return run_augmentation(job.config, job.image, classes=classes, mirror=job.mirror, truth=truth, epochs=job.epochs)
