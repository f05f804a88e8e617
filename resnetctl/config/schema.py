"""The config of an experiment: every key of `train`, `finetune` and `bench`, for TOML files and flags.

Every key always has a value, so a config in TOML is complete. 0 switches something off. "auto" leaves the choice to a
fixed rule, whose result is written into the run's own config.
"""

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from resnetctl.config.options import USED, option
from resnetctl.spec import Activation, Norm, Scalar, Stem

MAX_SEED = 10**18  # fits into 63 bits


def _named(default: str, help: str, *, kind: str, panel: str = "Optimisation", **more: Any) -> Any:
    """Return the field of a name in the registry. Its flag is called after the kind: `--optimizer NAME`."""
    return option(default, help, panel=panel, metavar="NAME", complete=kind, **{"flag": f"--{kind}", **more})


class Frozen(BaseModel):
    """An immutable model that refuses unknown keys.

    It builds its validator on first use, because help screens do not need one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class ModelConfig(Frozen):
    """`[model]`"""

    arch: str = _named("resnet20", "Architecture", kind="arch", short="-a", panel=USED)
    block: str = _named("", "Use another block (resets block arguments)", kind="block", panel="Model")
    block_args: dict[str, Scalar] = Field({}, description="Arguments of the block, e.g. model.block_args.shortcut=B")
    stem: Stem | Literal[""] = option("", "auto, cifar or imagenet (empty: the stem of the arch)")
    dropout: float = option(0.0, "Dropout rate inside blocks that support it", ge=0, lt=1)
    drop_path: float = option(
        0.0, "Stochastic depth: drop rate of the last block; earlier blocks rise linearly from 0", ge=0, lt=1
    )
    activation: Activation | Literal[""] = option(
        "", "Activation of the stem and the blocks, e.g. silu or gelu (empty: that of the arch)"
    )
    norm: Norm | Literal[""] = option(
        "", "Norm of the stem and the blocks: batch, or group for small batches (empty: that of the arch)"
    )
    head: str = _named("", "Head, e.g. ssd, unet or multilabel (empty: classify)", kind="head", panel=USED)
    head_args: dict[str, Scalar] = Field({}, description="Arguments of the head, e.g. model.head_args.levels=3")
    init: str = _named("", "Start of the weights, from train images (empty: He's)", kind="init", panel="Model")
    zero_init: bool = option(False, "Begin with residual branches of zero, so that each block is its shortcut at first")


class OptimConfig(Frozen):
    """`[optim]`"""

    name: str = _named("sgd", "Optimizer: sgd, adam, adamw or a plugin's", kind="optimizer")
    momentum: float = option(0.9, "SGD momentum", ge=0, lt=1)
    nesterov: bool = option(True, "Use Nesterov momentum in SGD")
    beta1: float = option(0.9, "Adam: decay rate of the gradient average", ge=0, lt=1)
    beta2: float = option(0.999, "Adam: decay rate of the squared-gradient average", ge=0, lt=1)
    eps: float = option(1e-8, "Adam: added to the denominator for numerical stability", gt=0)
    decay_norm_and_bias: bool = option(False, "Apply weight decay to norms and biases too")
    layer_decay: float = option(
        1.0, "Learning rate of a stage as a multiple of that of the next one: stem lowest, head full", gt=0, le=1
    )
    backbone_lr_scale: float = option(1.0, "finetune: learning rate of the backbone as a multiple of lr", ge=0)
    args: dict[str, Scalar] = Field({}, description="Arguments of a plugin's optimizer, e.g. optim.args.rho=0.05")


class ScheduleConfig(Frozen):
    """`[schedule]`"""

    name: str = _named(
        "cosine", "Learning-rate schedule: cosine, multistep, linear, constant or a plugin's", kind="schedule"
    )
    final_lr: float = option(0.0, "cosine, linear: final learning rate as a share of lr", ge=0, le=1)
    milestones: tuple[float, ...] = option(
        (0.5, 0.75), "multistep: shares of the run after which the learning rate is multiplied by gamma"
    )
    gamma: float = option(0.1, "multistep: factor at each milestone", gt=0, le=1)
    args: dict[str, Scalar] = Field({}, description="Arguments of a plugin's schedule, e.g. schedule.args.power=2")

    @field_validator("milestones")
    @classmethod
    def _ordered(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or not all(0 < share < 1 for share in value):
            raise ValueError("must be rising shares of the run between 0 and 1, such as [0.5, 0.75]")
        return value


class ObjectiveConfig(Frozen):
    """`[objective]`"""

    name: str = _named(
        "cross-entropy", "Loss: cross-entropy, binary-cross-entropy, focal or a plugin's", kind="objective"
    )
    args: dict[str, Scalar] = Field({}, description="Arguments of the objective, e.g. objective.args.gamma=2")


class ProgressiveConfig(Frozen):
    """`[progressive]`: progressive resizing, which trains the first steps on smaller images."""

    initial_scale: float = option(1.0, "Side of the first images as a share of size (1: off)", gt=0, le=1)
    delay_fraction: float = option(0.5, "Share of the run before images begin to grow", ge=0, le=1)
    finetune_fraction: float = option(0.2, "Share of the run, at its end, on images of full size", ge=0, le=1)
    size_increment: int = option(4, "Image sides are multiples of this number of pixels", ge=1)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.delay_fraction + self.finetune_fraction > 1:
            raise ValueError(
                f"delay_fraction {self.delay_fraction:g} and finetune_fraction {self.finetune_fraction:g} "
                "add up to more than 1, the whole run"
            )
        return self


class DistillConfig(Frozen):
    """`[distill]`: knowledge distillation, which teaches with the outputs of a trained network."""

    teacher: str = option(
        "",
        "Learn from this network too: run, file or torchvision:resnet50",
        flag="--teacher",
        metavar="RUN|FILE",
        panel="Optimisation",
        complete="run",
    )
    teacher_sha256: str = option("", "Refuse a teacher with another SHA-256 (empty: any)", metavar="HEX")
    method: Literal["kd", "dkd", "dist", "hint"] = option(
        "kd", "What to learn: kd (softmax), dkd (true and wrong classes apart), dist (correlation), hint (features too)"
    )
    temperature: float = option(4.0, "Divides the logits of both networks: a higher one shows more of small ones", gt=0)
    weight: float = option(0.9, "Share of the teacher in the loss; the labels have the rest", gt=0, le=1)


class TrainConfig(Frozen):
    """Everything that decides what a training run computes."""

    data: str = option(
        "cifar10",
        "Dataset name, folder, archive or CSV",
        short="-d",
        metavar="NAME|PATH",
        panel=USED,
        complete="dataset",
    )
    model: ModelConfig = Field(default_factory=ModelConfig)
    augment: str = _named("standard", "Augmentation policy", kind="policy", flag="--augment", panel=USED)
    augment_args: dict[str, Scalar] = Field({}, description="Arguments of the policy; short: augment.magnitude=5")
    augment_until: int | str = option(
        0, 'Epochs with this policy, or a share of the run, e.g. "90%" (0: all)', metavar="EPOCHS", panel="Data"
    )
    augment_after: str = _named(
        "none", "Policy of the epochs after augment_until", kind="policy", flag="--augment-after", panel="Data"
    )
    epochs: int = option(200, "Passes over the training images", short="-e", panel=USED, ge=0)
    steps: int = option(0, "Optimizer steps, instead of epochs (0: see epochs)", panel="Optimisation", ge=0)
    batch_size: int = option(128, "Images per step", short="-b", panel=USED, ge=1)
    lr: float = option(0.1, "Peak learning rate", panel=USED, gt=0)
    weight_decay: float = option(5e-4, "L2 penalty on weights, not on norms and biases", panel="Optimisation", ge=0)
    label_smoothing: float = option(
        0.0, "Label smoothing: share spread over all classes", panel="Optimisation", ge=0, lt=1
    )
    class_weights: str = option(
        "none",
        "Weight of each class in the loss: none, balanced, numbers in class order, or a JSON file of names and numbers",
        metavar="WEIGHTS",
        panel="Optimisation",
    )
    shards: int = option(
        1,
        "Parts of each batch with batch-norm statistics of their own, which processes share",
        panel="Optimisation",
        ge=1,
    )
    accumulate: int = option(
        1, "Parts of each batch that go through the network one by one, to save memory", panel="Optimisation", ge=1
    )
    grad_clip: float = option(0.0, "Clip gradients to this norm (0: off)", panel="Optimisation", ge=0)
    warmup: float | str = option(
        0.0, 'Linear warm-up in epochs, or a share of the run, e.g. "15%"', panel="Optimisation"
    )
    ema_decay: float = option(
        0.0, "Moving average of the weights (EMA): highest decay, e.g. 0.999 (0: off)", panel="Optimisation", ge=0, lt=1
    )
    early_stop: int = option(
        0, "Stop after N epochs without a better val accuracy (0: never)", panel="Optimisation", ge=0
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto", "Precision: auto, fp32, bf16, or fp16 on CUDA (autocast)", panel="Machine"
    )
    device: str = option("auto", "Device: auto, cpu, cuda, cuda:1 or mps", panel="Machine")
    exact: bool = option(
        False, "Repeat bit for bit: slower kernels on CUDA, and no resume that would differ", panel="Machine"
    )
    graph: Literal["auto", "step", "network", "off"] = option(
        "auto", "CUDA graph: of a whole step, of the network (the policy stays eager), or off", panel="Machine"
    )
    threads: int = option(0, "CPU threads (0: automatic)", panel="Machine", ge=0, le=256)
    seed: int = option(0, "Random seed", panel=USED, ge=0, le=MAX_SEED)
    sampler: Literal["shuffle", "windowed", "balanced"] = option(
        "shuffle",
        "Order of an epoch: shuffle, windowed (few shards at a time: remote data), or balanced (classes equally often)",
        panel="Data",
    )
    shuffle_window: int = option(4, "windowed: shards whose images are mixed", panel="Data", ge=1)
    split_seed: int = option(
        0, "Seed of the val split, which the random seed does not move", panel="Data", ge=0, le=MAX_SEED
    )
    val_fraction: float = option(0.1, "Share of train held out as val", panel="Data", ge=0, lt=1)
    size: int = option(0, "Image size in pixels (0: as the dataset says)", panel="Data", ge=0, le=4096)
    keep: Literal["best", "last"] = option("best", "Keep weights of the best val epoch, or the last", panel="Data")
    optim: OptimConfig = Field(default_factory=OptimConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    objective: ObjectiveConfig = Field(default_factory=ObjectiveConfig)
    progressive: ProgressiveConfig = Field(default_factory=ProgressiveConfig)
    distill: DistillConfig = Field(default_factory=DistillConfig)

    @field_validator("warmup")
    @classmethod
    def _warmup(cls, value: float | str) -> float | str:
        number = value.removesuffix("%") if isinstance(value, str) else value
        try:
            amount = float(number)
        except ValueError:
            raise ValueError('must be epochs such as 5, or a share of the run such as "15%"') from None
        if not 0 <= amount < math.inf or (isinstance(value, str) and value.endswith("%") and amount > 100):
            raise ValueError("must be 0 or more, and at most 100%")
        return value if isinstance(value, str) and value.endswith("%") else amount

    @field_validator("augment_until")
    @classmethod
    def _until(cls, value: int | str) -> int | str:
        try:
            amount = float(str(value).removesuffix("%"))
        except ValueError:
            raise ValueError('must be epochs such as 90, or a share of the run such as "90%"') from None
        if str(value).endswith("%"):
            if not 0 < amount <= 100:
                raise ValueError("must be more than 0% and at most 100%")
            return value
        if amount < 0 or not amount.is_integer():
            raise ValueError("must be a whole number of epochs, 0 or more")
        return int(amount)

    @model_validator(mode="after")
    def _length(self) -> Self:
        if not self.epochs and not self.steps:
            raise ValueError("epochs: 0 train nothing; give epochs or steps")
        if self.epochs and self.steps:
            raise ValueError(f"give epochs or steps, one of them (got epochs={self.epochs}, steps={self.steps})")
        return self


class FinetuneConfig(TrainConfig):
    """A training run that starts from weights."""

    weights: str = option(
        "", "Start from these weights: run, file or torchvision:resnet18", short="-w", metavar="RUN|FILE", panel=USED
    )
    weights_sha256: str = option("", "Refuse weights with another SHA-256 (empty: any)", metavar="HEX", panel="Data")
    freeze: str = option("none", "Freeze backbone, none, or stages such as stem,layer1", metavar="PARTS", panel=USED)
    thaw_epoch: int = option(0, "Epochs after which the frozen parts train too (0: never)", panel="Optimisation", ge=0)

    @model_validator(mode="after")
    def _thaw(self) -> Self:
        if self.thaw_epoch and self.freeze.strip() in ("", "none"):
            raise ValueError(f'thaw_epoch={self.thaw_epoch} needs frozen parts, such as freeze = "backbone"')
        return self


class BenchConfig(TrainConfig):
    """As `TrainConfig`, but `data` defaults to the embedded digits."""

    data: str = option(
        "digits",
        "Dataset name, folder, archive or CSV",
        short="-d",
        metavar="NAME|PATH",
        panel=USED,
        complete="dataset",
    )
