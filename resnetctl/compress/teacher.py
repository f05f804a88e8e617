"""The teacher of a distillation: a trained network that gives its opinion on the student's training images."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from resnetctl.data.preprocess import normalise, resize
from resnetctl.engine.fold import folded
from resnetctl.engine.hardware.device import place
from resnetctl.engine.metrics import Images, Logits, Predictor
from resnetctl.errors import WeightsError
from resnetctl.hints import Setting
from resnetctl.models.resnet import ResNet
from resnetctl.spec import DatasetCard, ImageSpec
from resnetctl.weights.file import NamedWeights, instantiate
from resnetctl.weights.plugins import require_plugins

SHOWN = 10  # class names in an error


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A network in evaluation mode, on the student's device, with its norms folded.

    Attributes:
        net: maps images as `image` describes them to its own logits.
        image: the teacher's preprocessing.
        columns: int64 `(K,)`, for each of the student's K classes the teacher's output with that name.
        sha256: digest of its weights.
    """

    net: ResNet
    image: ImageSpec
    columns: Tensor
    sha256: str

    @property
    def arch(self) -> str:
        """The name of the teacher's arch."""
        return self.net.arch.name

    @torch.no_grad()
    def logits(self, images: Tensor, spec: ImageSpec) -> Tensor:
        """Return float32 logits `(N, K)` in the student's order of classes, without gradients.

        Args:
            images: `(N, C, S, S)` float32, as the student gets them.
            spec: the preprocessing that made them.
        """
        return self._chosen(self.net(self._adapted(images, spec)))

    @torch.no_grad()
    def features(self, images: Tensor, spec: ImageSpec) -> tuple[dict[str, Tensor], Tensor]:
        """Return the features of each stage and the logits, as `logits`."""
        features = self.net.features(self._adapted(images, spec))
        return features, self._chosen(self.net.head(features[self.net.stages[-1]]))

    def predictor(self, image: ImageSpec) -> Predictor:
        """Return the teacher as a predictor of images that are prepared for the student, as in training."""

        def predict(images: Images) -> Logits:
            pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2)
            logits: Logits = self.logits(normalise(pixels.to(self.columns.device), image), image).cpu().numpy()
            return logits

        return predict

    def _chosen(self, logits: Tensor) -> Tensor:
        return logits.float().index_select(1, self.columns)

    def _adapted(self, images: Tensor, spec: ImageSpec) -> Tensor:
        """Return the student's images with the teacher's size, mean and std."""
        same = (spec.mean, spec.std) == (self.image.mean, self.image.std)
        if same and images.shape[-1] == self.image.size:
            return images
        # back to 0..255 first: resizing and normalising are defined on pixels
        mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in (spec.mean, spec.std))
        pixels = (images * std + mean) * 255
        return normalise(resize(pixels, self.image.size, interpolation=self.image.interpolation), self.image)


def hire(source: NamedWeights, data: DatasetCard, *, device: torch.device) -> Teacher:
    """Return the teacher for a student of the classes and the image channels of `data`.

    Raises:
        WeightsError: the teacher lacks a class, or reads another number of channels.
        PluginError: its block needs a plugin that is not installed.
    """
    card, where, channels = source.weights.card, source.name, data.image.channels
    position = {name: place for place, name in enumerate(card.classes)}
    missing = [name for name in data.classes if name not in position]
    if missing:
        rest = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise WeightsError(
            "the teacher does not know every class of the data",
            where=where,
            problems=[f"unknown to the teacher: {', '.join(missing[:SHOWN])}{rest}"],
            hint=Setting("distill.teacher", "OTHER", note="a network that was trained on these classes"),
        )
    if card.image.channels != channels:
        raise WeightsError(
            f"the teacher reads images of {card.image.channels} channels, and the data has {channels}",
            where=where,
            hint=Setting("distill.teacher", "OTHER", note="a network for such images"),
        )
    require_plugins(card, source.weights.path)
    model = instantiate(source.weights)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    net = folded(model)
    place(net, device)
    return Teacher(
        net=cast(ResNet, net),
        image=card.image,
        columns=torch.tensor([position[name] for name in data.classes], device=device),
        sha256=source.sha256,
    )
