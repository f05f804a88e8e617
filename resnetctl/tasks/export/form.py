"""What `export` writes: an ONNX file of a kind, or what an exporter makes of it."""

from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from resnetctl.deploy.onnx_card import Input
from resnetctl.tasks.export import int8 as int8_form

Gate = Literal["real", "synthetic", "none"]
Kind = Literal["float", "raw", "int8"]  # of ONNX files


class Form(TypedDict, total=False):
    """What is written: an ONNX file with this `input`, what the exporter `to` makes of it, or that file in int8.

    `data`: the dataset to check on, and to calibrate int8 on; by default that of the training.
    `assets`: a folder with files of other programs that the exporter needs.
    """

    input: Input
    to: str
    data: str
    assets: Path
    int8: int8_form.Int8Settings


class More(int8_form.Int8Options, total=False):
    """The other arguments of `export`."""

    data: str | PathLike[str] | None
    assets: str | Path


def form_of(input: Input, to: str | None, **more: Unpack[More]) -> Form:
    """Return the form that these arguments ask for. Raises `UsageError` for a setting of int8 without `int8`."""
    form: Form = {"input": input} if to is None else {"input": input, "to": to}
    if "assets" in more:
        form["assets"] = Path(more["assets"])
    if (data := more.get("data")) is not None:
        form["data"] = fspath(data)
    others = {key: value for key, value in more.items() if key not in ("assets", "data")}
    int8: int8_form.Int8Options = others  # type: ignore[assignment]
    if (settings := int8_form.asked(**int8)) is not None:
        form["int8"] = settings
    return form
