"""The core types, which the package and its plugins share. Imports no torch.

All data classes are frozen and keyword-only. Shapes: N images, C channels, H rows, W columns.
"""

from resnetctl.spec.cards import (
    MAX_PIXELS,
    SPLITS,
    Arch,
    Calibration,
    Card,
    DatasetCard,
    Fit,
    ImageSpec,
    Interpolation,
    Plugins,
    Scalar,
    Split,
    Stem,
    ValSplit,
    WeightsCard,
)
from resnetctl.spec.contracts import (
    Batch,
    Block,
    Dataset,
    Optimizer,
    Policy,
    Schedule,
    SchedulePoint,
    Transform,
)

__all__ = [
    "MAX_PIXELS",
    "SPLITS",
    "Arch",
    "Batch",
    "Block",
    "Calibration",
    "Card",
    "Dataset",
    "DatasetCard",
    "Fit",
    "ImageSpec",
    "Interpolation",
    "Optimizer",
    "Plugins",
    "Policy",
    "Scalar",
    "Schedule",
    "SchedulePoint",
    "Split",
    "Stem",
    "Transform",
    "ValSplit",
    "WeightsCard",
]
