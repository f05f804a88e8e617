"""The head `multilabel`, as its entry point names it."""

from typing import Any, ClassVar

from resnetctl.spec import ImageSpec
from resnetctl_multilabel.nets import MultilabelNet


class MultilabelHead:
    """A sigmoid for each class on the pooled features."""

    name: ClassVar[str] = "multilabel"
    task: ClassVar[str] = "multilabel"
    summary: ClassVar[str] = "several labels per image: a sigmoid for each class, on the pooled last features"

    def build(
        self, backbone: Any, *, classes: int, image: ImageSpec, dropout: float = 0.0, smoothing: float = 0.0
    ) -> MultilabelNet:
        """Return the network for normalised images of any size; arguments and errors as `MultilabelNet`."""
        return MultilabelNet(backbone, classes=classes, dropout=dropout, smoothing=smoothing)


multilabel = MultilabelHead()
