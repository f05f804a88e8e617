"""Self-describing weights: one safetensors file, parameters under torchvision's names, the card in its header.

The card is JSON under ONE metadata key (the order of two would change from process to process), with a SHA-256 over
the tensors and one over itself. The same state and card give the same bytes.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl import registry
from resnetctl.errors import PluginError, ResnetctlError, WeightsError
from resnetctl.hints import Call
from resnetctl.spec import Arch, ImageSpec, Plugins, ValSplit, WeightsCard
from resnetctl.system import storage
from resnetctl.system.safetensors import Layout, digest, read_layout

if TYPE_CHECKING:
    from torch import Tensor

    from resnetctl.models.resnet import ResNet

KEY = "resnetctl"
SCHEMA = 1
DIGESTS = ("sha256", "card_sha256")


@dataclass(frozen=True, kw_only=True)
class Header:
    """All that is known of a weights file without reading a tensor. `sha256` is `digest` of its state."""

    card: WeightsCard
    sha256: str
    layout: Layout


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """A state dict on the CPU, verified and finite, with its card."""

    state: Mapping[str, "Tensor"]
    card: WeightsCard


def to_bytes(state: Mapping[str, "Tensor"], card: WeightsCard) -> bytes:
    """The file's bytes, a function of `state` and `card` alone: device and strides do not matter."""
    import safetensors.torch
    import torch

    # clone: the library refuses tensors that share memory
    whole = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    described = card.to_json()
    body = {**described, "sha256": digest(whole), "card_sha256": _card_digest(described)}
    return safetensors.torch.save(whole, metadata={KEY: json.dumps(body, sort_keys=True)})


def save(path: Path, weights: LoadedWeights) -> None:
    """Write the file durably. Raises `UsageError` or `WorkFailed` as `storage.write` does."""
    storage.write(path, to_bytes(weights.state, weights.card))


def read_header(path: Path) -> Header:
    """The checked header; imports no torch.

    Raises:
        WeightsError: missing, not ours, truncated, hostile, or a card that this version cannot read.
    """
    with storage.open_regular(path, error=WeightsError) as file:
        start = file.read(8)
        if is_pickle(start):
            raise _foreign("this is a PyTorch pickle, not a resnetctl weights file", path)
        if start.startswith(b"\x08") and any(start[4:]):  # field 1, a number: so exporters begin an ONNX file
            raise WeightsError(
                "this looks like an ONNX file, not like a weights file",
                where=str(path),
                hint=[Call("eval", (path,)), "its run's model.safetensors has the weights"],
            )
        layout = read_layout(file, path)
    if KEY not in layout.metadata:
        raise _foreign("this safetensors file has no resnetctl card", path)
    try:
        body = json.loads(layout.metadata[KEY])
        sha256, card_sha256 = (body.pop(name) for name in DIGESTS)
        if body["schema"] != SCHEMA:
            raise WeightsError(
                f"the card has schema {body['schema']}, this version reads {SCHEMA}",
                where=str(path),
                hint="pip install --upgrade resnetctl",
            )
        if card_sha256 != _card_digest(body):
            raise ValueError("its digest does not match")
        card = _card(body)
        if sum(card.arch.depths) > len(layout.tensors):  # building what it claims could take for ever
            raise ValueError(f"{sum(card.arch.depths):,} blocks, but {len(layout.tensors):,} tensors")
        card = replace(card, arch=registry.owned(card.arch, card.plugins.required))
        return Header(card=card, sha256=str(sha256), layout=layout)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"the card of the weights is broken: {error}", where=str(path)) from None


def read_card(path: Path) -> WeightsCard:
    """The card alone; raises as `read_header` and imports no torch."""
    return read_header(path).card


def load(path: Path) -> LoadedWeights:
    """Read, verify and return the state dict.

    Raises:
        WeightsError: as `read_header`, and for a digest that does not match or numbers that are not finite.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    header = read_header(path)
    try:
        # bytes, not a memory map: a file that shrinks under a map kills the process
        data = path.read_bytes()
        state: dict[str, Tensor] = safetensors.torch.load(data)
    except OSError as error:
        raise WeightsError(f"cannot read the weights: {error.strerror}", where=str(path)) from None
    except SafetensorError as error:
        raise WeightsError(f"the weights cannot be read: {error}", where=str(path)) from None
    if digest(state) != header.sha256:
        raise WeightsError(
            "the tensors do not match the digest in the card: the file was damaged or changed",
            where=str(path),
            hint="copy the file again from where it was made",
        )
    require_finite(state, path)
    return LoadedWeights(state=state, card=header.card)


def load_model(path: Path) -> tuple["ResNet", WeightsCard]:
    """The network in evaluation mode, on the CPU, contiguous, with its card. Leaves torch's random state alone.

    Raises:
        WeightsError: as `load`, and for tensors that do not fit the arch in the card.
        PluginError: a distribution that the block needs is not installed.
    """
    require_plugins(read_card(path), path)
    loaded = load(path)
    return instantiate(loaded, path=path), loaded.card


def instantiate(loaded: LoadedWeights, *, path: Path, dropout: float = 0.0, drop_path: float = 0.0) -> "ResNet":
    """The network of `loaded`, in evaluation mode; raises as `load_model`, which reads it from `path`."""
    import torch

    from resnetctl.models.resnet import build

    card = loaded.card
    try:
        with torch.device("meta"):  # a hostile card costs no memory before its shapes were compared
            made = build(card.arch, classes=len(card.classes), image=card.image)
        check_fit(loaded.state, made.state_dict(), path=path)
    except ResnetctlError as error:
        raise _by_version(error, card, path) from error
    with torch.random.fork_rng(devices=[]):
        model = build(
            card.arch, classes=len(card.classes), image=card.image, dropout=dropout, drop_path=drop_path
        )  # fmt: skip
    model.load_state_dict(dict(loaded.state))
    return model.eval()


def check_fit(state: Mapping[str, "Tensor"], expected: Mapping[str, "Tensor"], *, path: Path, hint: str = "") -> None:
    """Compare keys and shapes. Raises one `WeightsError` that lists every key that does not fit."""
    problems = [f"missing: {name} {_shape(expected[name])}" for name in expected if name not in state]
    problems += [f"unexpected: {name} {_shape(state[name])}" for name in state if name not in expected]
    problems += [
        f"shape: {name} is {_shape(state[name])}, the arch needs {_shape(tensor)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if problems:
        raise WeightsError(
            f"{len(problems)} keys do not fit the arch", where=str(path), problems=problems, hint=hint or ()
        )


def require_finite(state: Mapping[str, "Tensor"], path: Path) -> None:
    """Raises `WeightsError` that lists the tensors with NaN or infinity."""
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise WeightsError(
            f"{len(bad)} tensors hold NaN or infinity",
            where=str(path),
            problems=[f"not finite: {name}" for name in bad],
        )


def require_plugins(card: WeightsCard, path: Path, *, resuming: bool = False) -> None:
    """Raises `PluginError` with the install line when a required distribution is missing, or one used, to resume.

    Another version of one than the weights were made with is remarked on: its block may compute something else.
    """
    needed = card.plugins.used if resuming else card.plugins.required
    there = installed(needed)
    missing = [f"{name}=={wanted}" for name, wanted in needed.items() if name not in there]
    if missing:
        raise PluginError(
            f"{'going on with this run needs' if resuming else 'these weights need'} {', '.join(missing)}, "
            "which is not installed",
            where=str(path),
            hint=[f"pip install {' '.join(missing)}", *(() if resuming else ["or as whoever made the weights says"])],
        )
    others = _other_versions(card)
    if others and not resuming:  # which tells all that differs
        registry.notice(f"{path} was made with {others}")


def installed(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {}
    for name in distributions:
        with contextlib.suppress(PackageNotFoundError, ValueError):
            found[name] = version(name)
    return found


def _other_versions(card: WeightsCard) -> str:
    """`mine 0.1.0, and 0.2.0 is installed` of each distribution that the block needs."""
    needed = card.plugins.required
    there = installed(needed).items()
    return "; ".join(
        f"{name} {needed[name]}, and {found} is installed" for name, found in there if found != needed[name]
    )


def _by_version(error: ResnetctlError, card: WeightsCard, path: Path) -> ResnetctlError:
    """The error of a network that cannot be made, told as the plugin's where it is of another version."""
    others = _other_versions(card)
    if not others:
        return error
    pins = " ".join(f"{name}=={wanted}" for name, wanted in card.plugins.required.items())
    message = f"{error.message}; the weights were made with {others}"
    return PluginError(message, where=str(path), problems=error.problems, hint=f"pip install {pins}")


def _card(body: Mapping[str, Any]) -> WeightsCard:
    """`from_json` leaves alone what is no mapping; here it must be what the card promises."""
    card = WeightsCard.from_json(body)
    expected = {"arch": Arch, "image": ImageSpec, "plugins": Plugins, "split": ValSplit | None}
    for name, kind in expected.items():
        if not isinstance(getattr(card, name), kind):
            raise ValueError(f"'{name}' is {getattr(card, name)!r}")
    if not card.classes or not all(isinstance(name, str) for name in card.classes):
        raise ValueError("'classes' must be names")
    return card


def _card_digest(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def is_pickle(start: bytes) -> bool:
    """A zip or a pickle by its first bytes, which as a header's length would be a number beyond any limit."""
    return start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")) and any(start[4:])


def _foreign(message: str, path: Path) -> WeightsError:
    return WeightsError(
        message,
        where=str(path),
        hint=f"resnetctl weights import {path} --arch NAME --classes FILE --out model.safetensors",
    )


def _shape(tensor: "Tensor") -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
