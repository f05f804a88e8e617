"""What a plugin needs to write an exporter: the bundle that it gets, and the interface that it has. Imports no torch.

Shapes: B images a batch, S pixels a side, H rows, W columns, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from resnetctl.spec import WeightsCard

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # images (B, S, S, C) or (B, H, W, C) to logits (B, K)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A trained network in the forms that an exporter can start from.

    Attributes:
        card: classes, preprocessing and provenance.
        onnx: an ONNX file that passed the gate.
        input: what the ONNX file takes: `float` images in 0..1 (B, C, S, S), or `raw` pictures, uint8 (B, H, W, C).
        weights: the weights file, safetensors with the parameter names of the arch.
        evals: the reports of `eval` in the run, by dataset and split; empty for a weights file without a run. A name
            that ends with `other-code` is of a network whose plugin was edited after the training.
        assets: a folder of the user with files of other programs that the exporter needs; None: it has its own.
    """

    card: WeightsCard
    onnx: bytes
    input: Literal["float", "raw"]
    weights: Path
    evals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    assets: Path | None = None


class Exporter(Protocol):
    """An exporter plugin: an instance with these four members.

    One that refuses `float` input also has `input = "raw"`, so that it is tried with a raw file. One that writes a
    single file, such as a page, may have `suffix = ".html"`: with `--out FILE.html` a user gets this file, no folder.
    """

    @property
    def name(self) -> str:
        """The name of its entry point."""
        ...

    @property
    def summary(self) -> str:
        """One line for lists."""
        ...

    def write(self, bundle: Bundle, folder: Path) -> Sequence[Path]:
        """Write files into the empty `folder` and return their paths. The same bundle gives the same bytes."""
        ...

    def open(self, folder: Path) -> Predict | None:
        """Return a function that predicts with nothing but the files in `folder`; None where they cannot run.

        It takes uint8 images: prepared ones (B, S, S, C), or pictures (B, H, W, C) if the bundle's input was `raw`.
        Raises an error when a file is missing or wrong.
        """
        ...
