"""The images that networks are chosen and measured by: part of train, and val."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from resnetctl.compress import calibration
from resnetctl.data.splits import ImageSet, eval_batches
from resnetctl.data.store import Store
from resnetctl.engine.metrics import EvalReport, Images, Labels, Logits, Predictor, measure
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import DataError
from resnetctl.models.resnet import ResNet
from resnetctl.spec import WeightsCard
from resnetctl.tasks.compress.report import Accuracy

IMAGES = 512  # of val for the importance, and of train for the norms


class Judge:
    """The images that a network is chosen and measured by, as its card prepares them.

    Args:
        val_of: the card that says which images are val; None: that of the network.

    Attributes:
        data: the name of the dataset.
        notices: what the user should know about val.
        doubt: why val may flatter the network, which may have learned it; "" if it does not.

    Raises:
        DataError: the network has one class, or the dataset has other classes or too few images.
    """

    def __init__(self, card: WeightsCard, store: Store, *, val_of: WeightsCard | None = None) -> None:
        if len(card.classes) < 2:
            raise DataError("the network has one class, so its accuracy cannot show what a smaller one costs")
        self.card = card
        self.data = store.card.name
        self.notices = calibration.val_notices(store, val_of or card)
        self.doubt = calibration.val_doubt(store, val_of or card)
        self.train, self._val = calibration.sets(store, val_of or card)
        self._order = calibration.class_order(store.card.classes, card.classes, name=store.card.name)

    def seen(self) -> Images:
        """Return up to `IMAGES` images of train, balanced by class."""
        return _images(self.train, self.card)

    def batches(self) -> list[tuple[Images, Labels]]:
        """Return val, with labels in the order of the outputs."""
        batches = eval_batches(self._val, self.card.image)
        return [(images, self._order[labels]) for images, labels in batches]

    def measured(self, predict: Predictor, images: ImageSet | None = None) -> EvalReport:
        """Measure a predictor on val, or on another split of the dataset."""
        batches = eval_batches(self._val if images is None else images, self.card.image)
        return measure(
            predict, ((pixels, self._order[labels]) for pixels, labels in batches), classes=self.card.classes
        )

    def answers(self, predict: Predictor) -> tuple[Accuracy, NDArray[np.int64]]:
        """Measure a predictor on val. Return its accuracy, and 1 for each image (N,) that it gets right."""
        answers: list[NDArray[np.int64]] = []

        def watched(images: Images) -> Logits:
            logits = predict(images)
            answers.append(logits.argmax(axis=1))
            return logits

        report = self.measured(watched)
        labels = self._order[self._val.labels[self._val.index]]
        return Accuracy.of(report), (np.concatenate(answers) == labels).astype(np.int64)

    def unseen(self) -> Images:
        """Return up to `IMAGES` images of val, balanced by class."""
        return _images(self._val, self.card)

    def accuracy(self, model: ResNet) -> Accuracy:
        """Measure a network on val."""
        return Accuracy.of(self.measured(torch_predictor(model, self.card.image, device=torch.device("cpu"))))


def _images(images: ImageSet, card: WeightsCard) -> Images:
    return calibration.choose(images, card.image, count=min(IMAGES, len(images)))
