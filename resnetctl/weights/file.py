"""Weights files: one safetensors file, parameters under torchvision's names, the card in its header.

The card is JSON under one metadata key, because the order of several keys would change between processes. It holds a
SHA-256 of the tensors and one of itself. The same state and card give the same bytes.

`read_header` reads and checks the header, once. Every later step takes the `Header` and not the path again.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resnetctl import registry
from resnetctl.errors import ConfigError, ResnetctlError, WeightsError
from resnetctl.fields import read_json
from resnetctl.hints import Call
from resnetctl.registry.code import Digests
from resnetctl.spec import WeightsCard
from resnetctl.system import storage
from resnetctl.system.plain_files import open_regular
from resnetctl.system.safetensors import Layout, digest, read_layout
from resnetctl.weights.checks import check_keys, require_finite
from resnetctl.weights.plugins import notice_versions, require_plugins, unbuildable
from resnetctl.wording import counted

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnetctl.models.resnet import ResNet

KEY = "resnetctl"
Network = TypeVar("Network", bound="nn.Module")
SCHEMA = 1
DIGESTS = ("sha256", "card_sha256")
NEWER = 5  # times that a training may have replaced a file between two reads


@dataclass(frozen=True, kw_only=True)
class Header:
    """The checked header of a weights file.

    Attributes:
        sha256: the recorded digest of the tensors, which are not read yet.
        code: digests of the code of the plugins that trained the weights; empty if only the run knows them.
    """

    path: Path
    card: WeightsCard
    sha256: str
    layout: Layout
    code: Mapping[str, Digests] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """A state dict on the CPU, verified and finite, with its card. `path` and `code` as in `Header`."""

    path: Path
    state: Mapping[str, "Tensor"]
    card: WeightsCard
    code: Mapping[str, Digests] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NamedWeights:
    """Weights that a run starts from or learns from.

    Attributes:
        weights: state dict and card.
        sha256: digest of the file, or of the tensors if they come from torchvision.
        name: their name in the run's config. A path is absolute, so the run can be repeated from any folder.
        notices: what the user should know about them.
    """

    weights: LoadedWeights
    sha256: str
    name: str
    notices: tuple[str, ...] = ()


def to_bytes(state: Mapping[str, "Tensor"], card: WeightsCard) -> bytes:
    """Return the bytes of a weights file. They depend on `state` and `card` only, not on device or strides."""
    import safetensors.torch
    import torch

    # clone: the library refuses tensors that share memory
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    described = card.to_json()
    body = {**described, "sha256": digest(tensors), "card_sha256": _card_digest(described)}
    return safetensors.torch.save(tensors, metadata={KEY: json.dumps(body, sort_keys=True)})


def save(path: Path, weights: LoadedWeights) -> None:
    """Write a weights file durably. Raises `UsageError` or `WorkFailed` as `storage.write` does."""
    storage.write(path, to_bytes(weights.state, weights.card))


def read_header(path: Path) -> Header:
    """Read and check the header of a weights file. Imports no torch.

    Raises:
        WeightsError: the file is missing, foreign, truncated or hostile, or this version cannot read its card.
    """
    with open_regular(path, error=WeightsError) as file:
        start = file.read(8)
        if is_pickle(start):
            raise _foreign("this is a PyTorch pickle, not a weights file of resnetctl", path)
        if start.startswith(b"\x08") and any(start[4:]):  # ONNX files begin with field 1, a number (tag 8)
            raise WeightsError(
                "this looks like an ONNX file, not like a weights file",
                where=str(path),
                hint=[Call("eval", (path,)), "its run's model.safetensors has the weights"],
            )
        layout = read_layout(file, path)
    if KEY not in layout.metadata:
        raise _foreign("this safetensors file has no resnetctl card", path)
    try:
        body = read_json(layout.metadata[KEY])
        sha256, card_sha256 = (body.pop(name) for name in DIGESTS)
        is_intact = card_sha256 == _card_digest(body)
        card = described(body, where=str(path))
        if not is_intact:
            raise ValueError("its digest does not match")
        if sum(card.arch.depths) > len(layout.tensors):  # building a hostile arch could take forever
            raise ValueError(f"{counted(sum(card.arch.depths), 'block')}, but {counted(len(layout.tensors), 'tensor')}")
        card = replace(card, arch=registry.owned(card.arch, card.plugins.required))
        return Header(path=path, card=card, sha256=str(sha256), layout=layout)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"the card of the weights is broken: {error}", where=str(path)) from None


def described(body: Mapping[str, Any], *, where: str) -> WeightsCard:
    """Return the card of its JSON form, in the file `where`.

    Raises:
        WeightsError: this version cannot read its schema, or a value is wrong; the error names the key.
    """
    if body.get("schema", SCHEMA) != SCHEMA:
        raise WeightsError(
            f"the card has schema {str(body['schema'])[:20]}, this version reads {SCHEMA}",
            where=where,
            hint="pip install --upgrade resnetctl",
        )
    try:
        return WeightsCard.from_json(body)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"the card of the weights is broken: {error}", where=where) from None


def read_card(path: Path) -> WeightsCard:
    """Return the card of a weights file. Raises as `read_header`, and imports no torch."""
    return read_header(path).card


def load(header: Header) -> LoadedWeights:
    """Read and verify the state dict of the file behind a header.

    Raises:
        WeightsError: the file cannot be read, the digest does not match, or a number is not finite.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    path = header.path
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
            hint="copy the file again from its source, or try again if a training was writing it",
        )
    require_finite(state, path)
    return LoadedWeights(path=path, state=state, card=header.card, code=header.code)


def load_model(path: Path) -> tuple["ResNet", WeightsCard]:
    """Return the network of a weights file with its card. Raises as `read_header` and `load_network`."""
    header = read_header(path)
    return load_network(header), header.card


def load_network(header: Header) -> "ResNet":
    """Return the network in evaluation mode, on the CPU, contiguous. Leaves torch's random state alone.

    Raises:
        WeightsError: as `load`, and for tensors that do not match the arch in the card.
        PluginError: a distribution that the block needs is not installed.
    """
    require_plugins(header.card, header.path)
    return instantiate(load(header))


def newest(header: Header, load: Callable[[Header], Network]) -> tuple[Network, Header]:
    """Return the network, and its header: another one if a training has written newer weights since it was read.

    `load` is `load_network` or `load_net`. Raises as it does.
    """
    for _ in range(NEWER):
        try:
            return load(header), header
        except WeightsError:
            newer = replace(read_header(header.path), code=header.code)
            if newer.sha256 == header.sha256:
                raise
            header = newer
    return load(header), header


def instantiate(loaded: LoadedWeights, *, dropout: float = 0.0, drop_path: float = 0.0) -> "ResNet":
    """Return the network of `loaded`, in evaluation mode, with this regularisation. Raises as `load_network`."""
    import torch

    card, path = loaded.card, loaded.path
    require_classifier(card, path)
    try:
        with torch.device("meta"):  # take no memory for a hostile card before its shapes are compared
            expected = _fresh(card).state_dict()
        check_keys(loaded.state, expected, path=path)
    except ResnetctlError as error:
        raise unbuildable(error, card, path=path, code=loaded.code) from error
    with torch.random.fork_rng(devices=[]):
        model = _fresh(card, dropout=dropout, drop_path=drop_path)
    model.load_state_dict(dict(loaded.state))
    if card.channels:
        _require_fit(model, card, path)
    notice_versions(card, path)
    return model.eval()


def _fresh(card: WeightsCard, **rates: float) -> "ResNet":
    """Return a new classifier as the card describes it, on torch's current device."""
    from resnetctl.models.resnet import build

    return build(card.arch, classes=len(card.classes), image=card.image, channels=card.channels, **rates)


def _require_fit(model: "nn.Module", card: WeightsCard, path: Path) -> None:
    """Raise `WeightsError` when the narrower layers of the card do not fit together."""
    import torch

    from resnetctl.models.channels import require_fit

    try:
        require_fit(model, torch.zeros(1, card.image.channels, card.image.size, card.image.size))
    except ConfigError as error:
        raise WeightsError(f"the card of the weights is broken: {error.message}", where=str(path)) from None


def require_classifier(card: WeightsCard, path: Path) -> None:
    """Raise `WeightsError` for a network with a head, where only a classifier will do."""
    if card.head is not None:
        raise WeightsError(
            f"only a classifier will do, and these weights have the head '{card.head.name}' for the task '{card.task}'",
            where=str(path),
            hint=[Call("eval", (path,)), Call("predict", (path, "IMAGE"))],
        )


def instantiate_net(loaded: LoadedWeights) -> "nn.Module":
    """Return the network of `loaded`, a classifier or one with a head, in evaluation mode. Raises as `load_network`."""
    import torch

    from resnetctl.models.dense import with_head

    card, path = loaded.card, loaded.path
    if card.head is None:
        return instantiate(loaded)
    try:
        with torch.random.fork_rng(devices=[]):
            trunk = _fresh(card)
            if card.channels:
                _require_fit(trunk, card, path)
            net = with_head(trunk, card.head, classes=len(card.classes), image=card.image)
        check_keys(loaded.state, net.state_dict(), path=path)
    except ResnetctlError as error:
        raise unbuildable(error, card, path=path, code=loaded.code) from error
    net.load_state_dict(dict(loaded.state))
    notice_versions(card, path)
    return net.eval()


def load_net(header: Header) -> "nn.Module":
    """Return the network behind a header, a classifier or one with a head. Raises as `load_network`."""
    require_plugins(header.card, header.path)
    return instantiate_net(load(header))


def _card_digest(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def is_pickle(start: bytes) -> bool:
    """Return whether a file that begins with `start` is a zip or a pickle, not a short safetensors header."""
    return start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")) and any(start[4:])


def _foreign(message: str, path: Path) -> WeightsError:
    return WeightsError(
        message,
        where=str(path),
        hint=Call("weights import", (path,), {"arch": "NAME", "classes": "FILE", "out": "weights.safetensors"}),
    )
