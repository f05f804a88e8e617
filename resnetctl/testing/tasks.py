"""The rules of a task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from resnetctl.spec import TRUTHS, Boxes, Labels, Masks, Output, Tags, Truth
from resnetctl.testing.findings import SEED, Rule, Skipped, expect

CLASSES = ("a", "b", "c")
SIDE, IMAGES = 24, 5

Arrays = tuple[np.ndarray[Any, Any], ...]


def truth_of(kind: str) -> Truth:
    """Return the truth of five images, always the same; one has no box, one mask is ignored in part."""
    generator = np.random.Generator(np.random.PCG64(SEED))
    if kind == "boxes":
        corners = generator.integers(0, 12, (6, 2))
        boxes = np.concatenate([corners, corners + generator.integers(4, 12, (6, 2))], 1)
        offsets, labels = torch.tensor([0, 2, 2, 3, 5, 6]), torch.tensor([0, 1, 2, 0, 1, 2])
        return Boxes(offsets=offsets, boxes=torch.from_numpy(boxes).float(), labels=labels)
    if kind == "masks":
        masks = generator.integers(0, len(CLASSES), (IMAGES, SIDE, SIDE), dtype=np.uint8)
        masks[0, :4] = 255
        return Masks(masks=torch.from_numpy(masks))
    if kind == "tags":
        return Tags(tags=torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.uint8))
    return Labels(labels=torch.tensor([0, 1, 2, 0, 1]))


def perfect(truth: Truth) -> Arrays:
    """Return the prediction that is right about everything."""
    if isinstance(truth, Boxes):
        most = int(truth.counts.max())
        boxes, scores = np.zeros((IMAGES, most, 4), np.float32), np.zeros((IMAGES, most), np.float32)
        labels = np.full((IMAGES, most), -1, np.int64)
        for row, (mine, classes) in enumerate(truth.split()):
            boxes[row, : len(mine)], labels[row, : len(mine)] = mine, classes
            scores[row, : len(mine)] = 0.9 - 0.1 * np.arange(len(mine))
        return boxes, scores, labels
    if isinstance(truth, Tags):
        return (0.1 + 0.8 * truth.tags.numpy().astype(np.float32),)
    if isinstance(truth, Masks):
        known = np.where(truth.masks == 255, 0, truth.masks)
        return (known.astype(np.int64),)
    logits = 5 * np.eye(len(CLASSES), dtype=np.float32)[truth.labels.numpy()]
    exponentials = np.exp(logits)
    return logits, exponentials / exponentials.sum(1, keepdims=True)


def wrong(prediction: Arrays) -> Arrays:
    """Return a prediction that names another class everywhere."""
    if len(prediction) == 3:
        boxes, scores, labels = prediction
        return boxes, scores, np.where(labels < 0, -1, (labels + 1) % len(CLASSES))
    if len(prediction) == 2:
        return tuple(np.roll(part, 1, axis=1) for part in prediction)
    if prediction[0].dtype == np.float32:
        return (1 - prediction[0],)
    return ((prediction[0] + 1) % len(CLASSES),)


def members(task: Any) -> str:
    """It is an instance that names its truth, its outputs, and the number that chooses the best epoch."""
    expect(not isinstance(task, type), "it is a class, not an instance")
    expect(bool(task.name and task.summary.strip()), "name or summary is empty")
    expect(task.truth in TRUTHS, f"truth is {task.truth!r}, not {', '.join(TRUTHS)}")
    outputs = tuple(task.outputs)
    expect(bool(outputs) and all(isinstance(item, Output) for item in outputs), "outputs are no resnetctl.spec.Output")
    expect(all(item.shape[:1] == ("batch",) for item in outputs), "the first dimension of an output is not 'batch'")
    return f"{task.truth} to {', '.join(item.name for item in outputs)}"


def _example(task: Any) -> tuple[Truth, Arrays]:
    truth = truth_of(task.truth)
    prediction = perfect(truth)
    if len(prediction) != len(task.outputs):
        raise Skipped(f"its outputs {[item.name for item in task.outputs]} are not those of the tasks of the core")
    return truth, prediction


def judges(task: Any) -> str:
    """A perfect prediction gets 1, a wrong one less; the primary number is among the figures."""
    truth, prediction = _example(task)
    good, bad = _measured(task, prediction, truth), _measured(task, wrong(prediction), truth)
    expect(good.primary.name == task.primary, f"the primary number is {good.primary.name}, not {task.primary}")
    expect(task.primary in good.figures, f"{task.primary} is not among the figures")
    expect(abs(good.primary.value - 1) < 1e-6, f"a perfect prediction gets {good.primary.value:.4g}")
    expect(bad.primary.value < good.primary.value, f"a wrong prediction gets {bad.primary.value:.4g}")
    expect(good.count == IMAGES, f"it counts {good.count} images of {IMAGES}")
    expect(len(good.per_class) == len(CLASSES), f"it has numbers for {len(good.per_class)} of {len(CLASSES)} classes")
    grids = {(curve.axes, tuple(x for x, _ in curve.points)) for curve in good.curves}
    expect(len(grids) <= 1, "its curves do not share their axes and their x, so they fit in no chart")
    return f"{task.primary} 1 and {bad.primary.value:.3g}"


def batches(task: Any) -> str:
    """Its numbers do not depend on the size of the batches, and are the same every time."""
    truth, prediction = _example(task)
    whole, again = _measured(task, prediction, truth), _measured(task, prediction, truth)
    expect(whole == again, "two meters give different numbers for the same images")
    meter = task.meter(CLASSES)
    for rows in ([0], [1, 2], [3, 4]):
        meter.add(tuple(part[rows] for part in prediction), truth.take(torch.tensor(rows)))
    expect(meter.report() == whole, "batches of other sizes give other numbers")
    return "one batch and three"


def agrees(task: Any) -> str:
    """A prediction agrees with itself in everything, and not with a wrong one."""
    _, prediction = _example(task)
    same = task.agree(prediction, prediction)
    expect(same.total > 0 and same.share == 1, f"a prediction agrees with itself in {same.same} of {same.total}")
    other = task.agree(prediction, wrong(prediction))
    expect(other.share < 1 and bool(other.problems), f"a wrong prediction agrees in {other.same} of {other.total}")
    return f"{same.total} answers"


def _measured(task: Any, prediction: Sequence[np.ndarray[Any, Any]], truth: Truth) -> Any:
    meter = task.meter(CLASSES)
    meter.add(prediction, truth)
    return meter.report()


RULES = {
    "members": Rule(
        wants="an instance that names its truth, its outputs and its primary number",
        judge=members,
        fix="give it name, summary, truth, outputs of resnetctl.spec.Output, and primary",
    ),
    "judges": Rule(
        wants="1 for a perfect prediction, less for a wrong one",
        judge=judges,
        fix="report a Measured whose primary number is higher for better predictions, with a row for each class",
    ),
    "batches": Rule(
        wants="numbers that do not depend on the batches",
        judge=batches,
        fix="sum counts in `add` and divide in `report`; seed a bootstrap with resnetctl.rng",
    ),
    "agrees": Rule(
        wants="agreement of a prediction with itself, and not with a wrong one",
        judge=agrees,
        fix="return Agreement(same=, total=, problems=) and compare detections as sets",
    ),
}
