"""Exporters for the tests: an honest one, and liars. They are overlaid over the registry."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from resnetctl.deploy import onnx_session


class Honest:
    """Write the ONNX file as it is."""

    name = "honest"
    summary = "the ONNX file"

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        (folder / "inside").mkdir()
        (folder / "inside" / "model.onnx").write_bytes(bundle.onnx)
        return [folder / "inside" / "model.onnx"]

    def open(self, folder: Path) -> Any:
        path = folder / "inside" / "model.onnx"
        return onnx_session.from_bytes(onnx_session.read_bytes(path), "").logits


class Single(Honest):
    """Write one file, which may stand alone."""

    suffix = ".page"

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        (folder / "index.page").write_bytes(bundle.onnx)
        return [folder / "index.page"]

    def open(self, folder: Path) -> Any:
        return onnx_session.from_bytes(onnx_session.read_bytes(folder / "index.page"), "").logits


class WrongLogits(Honest):
    """Predict something else."""

    def open(self, folder: Path) -> Any:
        honest = super().open(folder)
        return lambda images: honest(images)[:, ::-1].copy()


class FromMemory(Honest):
    """Predict with what `write` kept, whatever the files hold."""

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        self.kept = bundle.onnx
        (folder / "model.onnx").write_bytes(b"nothing")
        return [folder / "model.onnx"]

    def open(self, folder: Path) -> Any:
        return onnx_session.from_bytes(self.kept, "").logits


class Blind(Honest):
    """Open nothing."""

    def open(self, folder: Path) -> Any:
        return None


class NaNs(Honest):
    """Predict NaN."""

    def open(self, folder: Path) -> Any:
        honest = super().open(folder)
        return lambda images: honest(images) * np.float32(np.nan)


class Doubles(Honest):
    """Predict float64."""

    def open(self, folder: Path) -> Any:
        honest = super().open(folder)
        return lambda images: honest(images).astype(np.float64)


class Hider(Honest):
    """Write a file that it does not list."""

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        (folder / "hidden.bin").write_bytes(pickle.dumps(1))
        return super().write(bundle, folder)


class Linker(Honest):
    """Write a link to another place."""

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        (folder / "link").symlink_to("/etc/hostname")
        return [*super().write(bundle, folder), folder / "link"]


class Raiser(Honest):
    """Fail half-way."""

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        super().write(bundle, folder)
        raise RuntimeError("disk of my own")


class Clock(Honest):
    """Write other bytes every time."""

    count = 0

    def write(self, bundle: Any, folder: Path) -> list[Path]:
        self.count += 1
        (folder / "time").write_text(str(self.count))
        return [*super().write(bundle, folder), folder / "time"]
