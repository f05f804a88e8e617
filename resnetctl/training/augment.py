"""The augmentation of a run: one policy, or two that follow each other."""

from resnetctl.config.schema import TrainConfig
from resnetctl.data.policies import augmentation
from resnetctl.spec import Batch, ImageSpec, Transform, TruthKind


def run_augmentation(
    config: TrainConfig, image: ImageSpec, *, classes: int, mirror: bool, truth: TruthKind = "labels", epochs: int = 0
) -> Transform:
    """Return the function that augments every training batch of a run of `epochs` epochs.

    With `augment_until`, later epochs have the policy `augment_after`. The choice follows from the epoch of the batch,
    so a resume makes the same one. Raises as `data.policies.augmentation`.
    """
    first = augmentation(
        config.augment, image, num_classes=classes, mirror=mirror, args=config.augment_args, truth=truth
    )
    if not config.augment_until:
        return first
    then = augmentation(config.augment_after, image, num_classes=classes, mirror=mirror, truth=truth)
    last = until_epoch(config, epochs=epochs)

    def augment(batch: Batch) -> Batch:
        return first(batch) if batch.epoch < last else then(batch)

    return augment


def until_epoch(config: TrainConfig, *, epochs: int) -> int:
    """Return the number of epochs with the first policy, in a run of `epochs` epochs; at least one for any share."""
    until = config.augment_until
    return max(1, round(epochs * float(until.removesuffix("%")) / 100)) if isinstance(until, str) else until
