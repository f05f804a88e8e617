"""Knowledge distillation: a student learns from the labels and from the outputs of a teacher.

The loss of a step is `(1 - weight) * objective + weight * distance`; the objective is that of the config, such as the
cross-entropy of the labels. The distance compares the softmax of student
and teacher, both at a temperature above 1: their logits are divided by it, so that the teacher's opinion on the wrong
classes counts, too. It is multiplied by the squared temperature, because the gradients shrink by that factor (Hinton et
al. 2015, arXiv:1503.02531, section 2).

A teacher that is less sure than its student, because it was trained for less time or with smoothed labels, is sharpened
first (`sharpened`): otherwise the student unlearns its confidence before it learns anything.

Shapes: N images, K classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl import rng
from resnetctl.compress.opinions import Opinions
from resnetctl.compress.teacher import Teacher
from resnetctl.config.schema import TrainConfig
from resnetctl.engine.objective import StepObjective, Supervised, chosen, weighted_mean
from resnetctl.models.resnet import ResNet
from resnetctl.spec import Batch, ImageSpec

DKD_BETA = 8.0  # weight of the wrong classes against the true one, as published for most pairs of networks

SHARPEST = 16.0  # a teacher with smoothed labels needed 4


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """A `StepObjective` with a teacher.

    Attributes:
        labels: what the student learns from the labels.
        image: the student's preprocessing.
        method: a key of `DISTANCES`, or "hint", which is "kd" plus the distance of the features.
        temperature: divides the logits.
        weight: share of the teacher in the loss, 0..1.
        opinions: the teacher's logits, where all images of the run are known before; None: it answers in every step.
    """

    teacher: Teacher
    image: ImageSpec
    method: str
    temperature: float
    weight: float
    labels: Supervised = field(default_factory=Supervised)
    opinions: Opinions | None = None

    def __call__(self, model: nn.Module, batch: Batch, *, plan: Any) -> tuple[Tensor, Tensor]:
        """Return the loss and the student's logits, see `engine.objective.StepObjective`."""
        student = cast(ResNet, model)
        hints = torch.zeros((), device=batch.images.device)
        if self.method == "hint":
            features = student.features(batch.images)
            logits = student.head(features[student.stages[-1]])
            taught, opinion = self.teacher.features(batch.images, self.image)
            hints = feature_distance(features, taught)
        else:
            logits = student(batch.images)
            known = self.opinions
            opinion = self.teacher.logits(batch.images, self.image) if known is None else known.of(batch.index)
        own = logits.float()  # as in the cross-entropy
        distance = DISTANCES.get(self.method, kd)(
            own, sharpened(opinion, own), targets=batch.targets, temperature=self.temperature
        )
        # the images have the same weights in both parts of the loss
        taught_loss = weighted_mean(distance + hints, batch.targets, plan=plan)
        loss = (1 - self.weight) * self.labels.loss(logits, batch.targets, plan=plan)
        return loss + self.weight * taught_loss, logits


def learned_from(
    teacher: Teacher | None, config: TrainConfig, *, image: ImageSpec, known: Opinions | None = None
) -> StepObjective:
    """Return the objective of a run: that of the config, and a teacher's if there is one.

    Args:
        image: the student's preprocessing.
        known: the teacher's logits of all images; None: they change from epoch to epoch.

    Raises as `engine.objective.chosen`.
    """
    labels, distill = chosen(config), config.distill
    if teacher is None:
        return labels
    is_known = known is not None and known.is_small and distill.method != "hint"
    return Distillation(
        teacher=teacher,
        image=image,
        method=distill.method,
        temperature=distill.temperature,
        weight=distill.weight,
        labels=labels,
        opinions=known if is_known else None,
    )


def sharpened(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the teacher's logits `(N, K)`, multiplied where those of the student `(N, K)` are further apart.

    Then both have the same standard deviation over the classes, as in Sun et al. 2024 (arXiv:2403.01427), which
    standardises the logits of both. Here a teacher that is surer than its student stays as it is: its student is to
    become as sure, and one that says nothing is multiplied by `SHARPEST` at most. No gradient passes.
    """
    with torch.no_grad():
        own, taught = (logits.std(1, correction=0, keepdim=True) for logits in (student, teacher))
        return teacher * (own / taught.clamp(min=1e-6)).clamp(1.0, SHARPEST)


def kd(student: Tensor, teacher: Tensor, *, targets: Tensor, temperature: float) -> Tensor:
    """Return the KL divergence of each image's softmax from the teacher's, float32 `(N,)` (Hinton et al. 2015).

    Args:
        student, teacher: logits `(N, K)` float32.
        targets: class numbers `(N,)` or shares `(N, K)`; not used by this method.
        temperature: divides the logits.
    """
    own, taught = (logits.div(temperature).log_softmax(1) for logits in (student, teacher))
    return temperature**2 * _divergence(own, taught)


def dkd(student: Tensor, teacher: Tensor, *, targets: Tensor, temperature: float) -> Tensor:
    """Return the decoupled distance `(N,)`: that of the true class, plus 8 times that among the wrong ones.

    Arguments as `kd`; of mixed targets the class with the largest share is the true one. Zhao et al. 2022,
    arXiv:2203.08679, eq. 7, with alpha 1 and beta 8.
    """
    truth = targets if targets.ndim == 1 else targets.argmax(1)
    is_true = F.one_hot(truth, student.shape[1]).bool()
    own, taught = (_decoupled(logits.div(temperature).log_softmax(1), is_true) for logits in (student, teacher))
    return temperature**2 * (_divergence(own[0], taught[0]) + DKD_BETA * _divergence(own[1], taught[1]))


def dist(student: Tensor, teacher: Tensor, *, targets: Tensor, temperature: float) -> Tensor:
    """Return how little the outputs correlate with the teacher's, `(N,)`: over classes, and over the batch.

    Arguments as `kd`. The second part is one number for the batch, added to each image. Huang et al. 2022,
    arXiv:2205.10536, eq. 8 and 10.
    """
    own, taught = (logits.div(temperature).softmax(1) for logits in (student, teacher))
    over_classes = 1 - _correlation(own, taught, axis=1)
    over_images = (1 - _correlation(own, taught, axis=0)).mean()
    return temperature**2 * (over_classes + over_images)


Distance = Callable[..., Tensor]
DISTANCES: Mapping[str, Distance] = {"kd": kd, "dkd": dkd, "dist": dist}


def feature_distance(own: Mapping[str, Tensor], taught: Mapping[str, Tensor]) -> Tensor:
    """Return `1 - cosine` of the features of each image, the mean over the stages, float32 `(N,)`.

    Hints after Romero et al. 2015 (arXiv:1412.6550), but with nothing to learn: where the channels differ, a fixed
    random matrix maps the teacher's to the student's. So a checkpoint holds the student alone. The last stages are
    paired, then the ones before; features of different sizes are averaged to the smaller size.

    Args:
        own, taught: `(N, C, H, W)` by stage, as `ResNet.features` returns them.
    """
    pairs = list(zip([*own.values()][::-1], [*taught.values()][::-1], strict=False))
    return torch.stack([1 - _likeness(first.float(), second.float()) for first, second in pairs]).mean(0)


def _likeness(own: Tensor, taught: Tensor) -> Tensor:
    """Return the cosine of the features of each image, `(N,)`."""
    side = min(own.shape[-1], taught.shape[-1])
    own, taught = (F.adaptive_avg_pool2d(each, side) for each in (own, taught))
    if own.shape[1] != taught.shape[1]:
        matrix = _projection(taught.shape[1], own.shape[1]).to(own.device)
        taught = (taught.movedim(1, -1) @ matrix).movedim(-1, 1)
    return F.cosine_similarity(own.flatten(1), taught.flatten(1), dim=1)


def _projection(rows: int, columns: int) -> Tensor:
    """Return a random matrix `(rows, columns)` that keeps distances on average; the same one every time."""
    generator = torch.Generator().manual_seed(rng.derive(0, "hint", rows, columns))
    return torch.randn(rows, columns, generator=generator).div(columns**0.5)


def _divergence(own: Tensor, taught: Tensor) -> Tensor:
    """Return the KL divergence of log-probabilities `(N, K)` from the teacher's, `(N,)`."""
    return (taught.exp() * (taught - own)).sum(1)


def _decoupled(log_shares: Tensor, is_true: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of true against wrong `(N, 2)`, and among the wrong classes `(N, K)`, 0 for the true."""
    wrong = log_shares.masked_fill(is_true, -torch.inf).logsumexp(1, keepdim=True)
    two = torch.cat([log_shares[is_true].unsqueeze(1), wrong], dim=1)
    # a 0 in both networks adds nothing to the divergence
    return two, (log_shares - wrong).masked_fill(is_true, 0.0)


def _correlation(own: Tensor, taught: Tensor, *, axis: int) -> Tensor:
    """Return Pearson's correlation along an axis."""
    own, taught = (each - each.mean(axis, keepdim=True) for each in (own, taught))
    return F.cosine_similarity(own, taught, dim=axis)
