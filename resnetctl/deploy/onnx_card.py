"""The metadata of an exported ONNX file: its network, the weights that it comes from, and how it was checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnetctl.spec import Card, WeightsCard

INPUT, LOGITS, PROBABILITIES = "pixel_values", "logits", "probabilities"  # names of the graph's input and outputs
CARD_KEY, GATE_KEY, DIGEST_KEY, WEIGHTS_KEY = "resnetctl.card", "resnetctl.gate", "sha256.model", "sha256.weights"


@dataclass(frozen=True, kw_only=True)
class OnnxCard(Card):
    """The description that an exported file holds of itself.

    Args:
        weights: the card of the weights that were exported: arch, classes, preprocessing, provenance.
        weights_sha256: digest of their tensors.
        gate: the images on which onnxruntime was compared with torch, e.g. `{"kind": "real", "images": 74, ...}`.
    """

    weights: WeightsCard
    weights_sha256: str
    gate: Mapping[str, Any]

    def __post_init__(self) -> None:
        if isinstance(self.weights, Mapping):
            self._put(weights=WeightsCard.from_json(self.weights))


def from_properties(properties: Mapping[str, str]) -> OnnxCard:
    """Return the card in an ONNX file's metadata. Raises `KeyError`, `TypeError` or `ValueError` for a broken one."""
    return OnnxCard(
        weights=WeightsCard.from_json(json.loads(properties[CARD_KEY])),
        weights_sha256=properties.get(WEIGHTS_KEY, ""),
        gate=dict(json.loads(properties.get(GATE_KEY, "{}"))),
    )


def to_properties(card: OnnxCard) -> dict[str, str]:
    """Return the card as metadata of an ONNX file."""
    return {
        CARD_KEY: json.dumps(card.weights.to_json(), sort_keys=True),
        GATE_KEY: json.dumps(dict(card.gate), sort_keys=True),
        WEIGHTS_KEY: card.weights_sha256,
    }
