"""The metadata of an exported ONNX file: its network, the weights that it comes from, and how it was checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from resnetctl import registry
from resnetctl.errors import WeightsError
from resnetctl.fields import read_json
from resnetctl.spec import Card, Output, WeightsCard
from resnetctl.weights.file import described

Input = Literal["float", "raw"]
INPUTS: tuple[Input, ...] = get_args(Input)
CONTRACTS: dict[Input, str] = {"float": "float/1", "raw": "raw/1"}
OPSET = 20
INPUT, IMAGE = "pixel_values", "image"  # names of the images in `float/1`, and in `raw/1`
VECTOR = "vector"  # name of the second input of a network that reads numbers
LOGITS, PROBABILITIES = "logits", "probabilities"  # names of the outputs
CARD_KEY, GATE_KEY, DIGEST_KEY, WEIGHTS_KEY = "resnetctl.card", "resnetctl.gate", "sha256.model", "sha256.weights"
CONTRACT_KEY = "contract"


@dataclass(frozen=True, kw_only=True)
class OnnxCard(Card):
    """The description that an exported file holds of itself.

    Args:
        weights: the card of the weights that were exported: arch, classes, preprocessing, provenance.
        weights_sha256: digest of their tensors.
        gate: the images on which onnxruntime was compared with torch, e.g. `{"kind": "real", "images": 74, ...}`.
        input: `float` takes prepared images, `raw` takes pictures of any size (see `deploy.raw.contract`).
    """

    weights: WeightsCard
    weights_sha256: str
    gate: Mapping[str, Any]
    input: Input = "float"

    def __post_init__(self) -> None:
        if isinstance(self.weights, Mapping):
            self._put(weights=WeightsCard.from_json(self.weights))


def outputs_of(card: WeightsCard) -> tuple[Output, ...]:
    """Return the outputs of an exported network, in order. Raises what `registry.get` raises for an unknown task."""
    outputs: tuple[Output, ...] = registry.get("task", card.task).outputs
    return outputs


def has_head(properties: Mapping[str, str]) -> bool:
    """Return whether the metadata describe a network with a head; False for a card that cannot be read."""
    try:
        return bool(read_json(properties.get(CARD_KEY, "{}")).get("head"))
    except ValueError:
        return False


def from_properties(properties: Mapping[str, str], where: str) -> OnnxCard:
    """Return the card in the metadata of the ONNX file `where`.

    Raises:
        WeightsError: the card is broken, or this version cannot read its schema. The error names the key.
    """
    try:
        gate = read_json(properties.get(GATE_KEY, "{}"))
        body = read_json(properties[CARD_KEY])
    except ValueError as error:
        raise WeightsError(f"the metadata of the ONNX file is broken: {error}", where=where) from None
    return OnnxCard(
        weights=described(body, where=where),
        weights_sha256=properties.get(WEIGHTS_KEY, ""),
        gate=dict(gate),
        input=_input(properties.get(CONTRACT_KEY, CONTRACTS["float"]), where),
    )


def to_properties(card: OnnxCard) -> dict[str, str]:
    """Return the card as metadata of an ONNX file."""
    return {
        CARD_KEY: json.dumps(card.weights.to_json(), sort_keys=True),
        GATE_KEY: json.dumps(dict(card.gate), sort_keys=True),
        WEIGHTS_KEY: card.weights_sha256,
        CONTRACT_KEY: CONTRACTS[card.input],
    }


def _input(contract: str, where: str) -> Input:
    for kind, name in CONTRACTS.items():
        if name == contract:
            return kind
    raise WeightsError(
        f"this version cannot read the contract '{contract[:20]}', only {' and '.join(CONTRACTS.values())}",
        where=where,
        hint="pip install --upgrade resnetctl",
    )
