"""The metadata of an exported file."""

import pytest
from support.trained import card

from resnetctl.deploy.onnx_card import CARD_KEY, OnnxCard, from_properties, to_properties
from resnetctl.errors import WeightsError

CARD = OnnxCard(weights=card(), weights_sha256="ab", gate={"kind": "real", "images": 74})


def test_a_card_survives_the_metadata_and_json() -> None:
    assert from_properties(to_properties(CARD), "a.onnx") == CARD
    assert OnnxCard.from_json(CARD.to_json()) == CARD


def test_a_card_without_gate_and_digest_is_read() -> None:
    bare = from_properties({CARD_KEY: to_properties(CARD)[CARD_KEY]}, "a.onnx")
    assert (bare.weights, bare.weights_sha256, bare.gate) == (CARD.weights, "", {})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"unknown": 1}'])
def test_a_broken_card_is_an_error(text: str) -> None:
    with pytest.raises(WeightsError) as caught:
        from_properties({CARD_KEY: text}, "a.onnx")
    assert caught.value.where == "a.onnx"
