"""A card has a JSON form that reads back equal; keys with their default may be left out."""

import copy
import pickle

import pytest

from resnetctl.spec import HeadCard, VectorSpec
from resnetctl.spec.card import without

VECTOR = VectorSpec(columns=("a", "b"), mean=(1.0, 2.0), std=(0.5, 0.0))


def test_a_key_is_left_out_only_where_it_has_its_default() -> None:
    assert without({"a": 1, "b": None}, "b", default=None) == {"a": 1}
    assert without({"a": 1, "b": 0}, "b", default=None) == {"a": 1, "b": 0}


def test_a_card_reads_back_equal_is_copied_and_pickled() -> None:
    card = HeadCard(name="fuse", task="classify", args={"how": "gate"}, vector=VECTOR)
    assert HeadCard.from_json(card.to_json()) == card
    assert copy.deepcopy(card) == card
    assert pickle.loads(pickle.dumps(card)) == card
    assert "vector" not in HeadCard(name="ssd", task="detect").to_json()


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(TypeError, match="'vectors' is an unknown key"):
        HeadCard.from_json({"name": "fuse", "task": "classify", "vectors": None})
