"""The augmentation of a run: one policy, or two that follow each other."""

from resnetctl import registry
from resnetctl.config.schema import TrainConfig
from resnetctl.data import policies
from resnetctl.data.policies import augmentation, require_moves
from resnetctl.data.splits import ImageSet
from resnetctl.spec import Batch, ImageSpec, Kept, Transform, TruthKind


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


def repeats(config: TrainConfig, images: ImageSet, *, image: ImageSpec, sides: int, epochs: int) -> bool:
    """Return whether every epoch shows the same pixels of train, as evaluation would.

    So it is without a policy, if the images have the size that the store keeps, throughout.

    Args:
        sides: number of sizes that the images have during the run.
    """
    names = (config.augment, *([config.augment_after] if config.augment_until else []))
    is_plain = all(registry.get("policy", name) is policies.none for name in names)
    return is_plain and sides == 1 and epochs > 1 and images.images.shape[1] == image.resize


def require_kept(config: TrainConfig, kept: Kept) -> None:
    """Raise `ConfigError` when a policy of the config does not keep a truth, or the numbers of the images, right."""
    for name in (config.augment, *([config.augment_after] if config.augment_until else [])):
        require_moves(registry.get("policy", name), kept)


def until_epoch(config: TrainConfig, *, epochs: int) -> int:
    """Return the number of epochs with the first policy, in a run of `epochs` epochs; at least one for any share."""
    until = config.augment_until
    return max(1, round(epochs * float(until.removesuffix("%")) / 100)) if isinstance(until, str) else until
