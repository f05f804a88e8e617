"""The head `fuse`, as its entry point names it."""

from typing import Any, ClassVar

from resnetctl.spec import ImageSpec, VectorSpec
from resnetctl_fuse.nets import FusedNet


class FuseHead:
    """One class for an image and the numbers that come with it."""

    name: ClassVar[str] = "fuse"
    task: ClassVar[str] = "classify"
    summary: ClassVar[str] = "one class for an image and its numbers: both are joined late, side by side or by a gate"
    reads_vector: ClassVar[bool] = True

    def build(
        self,
        backbone: Any,
        *,
        classes: int,
        image: ImageSpec,
        vector: VectorSpec,
        how: str = "concat",
        width: int = 64,
        dropout: float = 0.0,
        smoothing: float = 0.0,
    ) -> FusedNet:
        """Return the network; arguments and errors as `FusedNet`."""
        columns = len(vector.columns)
        return FusedNet(
            backbone, classes=classes, columns=columns, how=how, width=width, dropout=dropout, smoothing=smoothing
        )


fuse = FuseHead()
