"""The core types refuse wrong values, are frozen, and read back equal from JSON."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.spec import (
    Arch,
    Batch,
    Calibration,
    Card,
    DatasetCard,
    Familiar,
    HeadCard,
    ImageSpec,
    Plugins,
    Policy,
    ValSplit,
    WeightsCard,
)

ARCH = Arch(name="tiny", block="basic", depths=(1, 2), widths=(16, 32), block_args={"shortcut": "A"}, params=123)
IMAGE = ImageSpec(size=24, resize=32, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), interpolation="bicubic", fit="pad")
DATASET = DatasetCard(
    name="pets",
    classes=("cat", "dog"),
    image=IMAGE,
    splits={"train": 10, "test": 2},
    digests={"train": "ab"},
    defaults={"mirror": False, "epochs": 3},
    notes=("one", "two"),
)
WEIGHTS = WeightsCard(
    arch=ARCH,
    classes=("cat", "dog"),
    image=IMAGE,
    plugins=Plugins(required={"a": "1"}, used={"b": "2"}),
    trained_on={"name": "pets", "digest": "ab"},
    split=ValSplit(val_fraction=0.1, seed=3, digest="cd"),
    metrics={"val_top1": 0.5},
)
CALIBRATION = Calibration(
    temperature=1.5, sets={"0.9": 0.25}, images=200, familiar=Familiar(means=("AAAA", "AQID"), limit=0.4, level=0.99)
)
CARDS = [
    ARCH,
    dataclasses.replace(ARCH, activation="silu", norm="group"),
    IMAGE,
    DATASET,
    WEIGHTS,
    dataclasses.replace(WEIGHTS, split=None),
    dataclasses.replace(WEIGHTS, calibration=CALIBRATION),
    CALIBRATION,
    dataclasses.replace(WEIGHTS, head=HeadCard(name="ssd", task="detect", args={"anchors": [[3.5, 4.0]], "levels": 2})),
    dataclasses.replace(DATASET, truth="boxes"),
    Plugins(),
    ValSplit(val_fraction=0, seed=0),
]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: type(card).__name__)
def test_cards_read_back_equal_from_json(card: Card) -> None:
    text = json.dumps(card.to_json(), allow_nan=False)
    assert type(card).from_json(json.loads(text)) == card
    assert json.dumps(type(card).from_json(json.loads(text)).to_json()) == text


@given(st.integers(1, 64), st.integers(0, 64), st.integers(1, 5), st.sampled_from(["crop", "pad", "squash"]))
def test_any_image_spec_reads_back_equal(size: int, more: int, channels: int, fit: Any) -> None:
    spec = ImageSpec(
        size=size, resize=size + more, channels=channels, mean=(0.1,) * channels, std=(1 / 3,) * channels, fit=fit
    )
    assert ImageSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize("card", CARDS, ids=lambda card: type(card).__name__)
def test_cards_are_frozen_down_to_their_tables(card: Card) -> None:
    for item in dataclasses.fields(card):  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(card, item.name, None)
        value = getattr(card, item.name)
        assert not isinstance(value, list | dict | set)


def test_cards_copy_the_mappings_that_they_get() -> None:
    args: dict[str, Any] = {"shortcut": "A"}
    arch = dataclasses.replace(ARCH, block_args=args)
    args["shortcut"] = "B"
    assert arch.block_args == {"shortcut": "A"}


def test_equal_archs_have_equal_hashes() -> None:
    again = Arch.from_json(ARCH.to_json())
    assert {ARCH: "found"}[again] == "found"
    assert len({ARCH, again, dataclasses.replace(ARCH, block_args={}), dataclasses.replace(ARCH, depths=(2, 2))}) == 3


@pytest.mark.parametrize("name", ["trained_on", "metrics", "classes"])
def test_fields_of_the_wrong_type_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must be"):
        WeightsCard.from_json({**WEIGHTS.to_json(), name: 5})


def test_unknown_and_missing_keys_are_refused() -> None:
    with pytest.raises(TypeError, match="surprise"):
        Arch.from_json({**ARCH.to_json(), "surprise": 1})
    with pytest.raises(TypeError, match="depths"):
        Arch.from_json({key: value for key, value in ARCH.to_json().items() if key != "depths"})


@pytest.mark.parametrize("kind", [Arch, ImageSpec, DatasetCard, WeightsCard, Batch, Policy, Plugins, ValSplit])
def test_everything_is_keyword_only(kind: type) -> None:
    assert all(item.kw_only for item in dataclasses.fields(kind))


# ---- Arch


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depths": ()}, "1 to 4 entries"),
        ({"depths": (1,) * 5, "widths": (1,) * 5}, "1 to 4 entries"),
        ({"depths": (1, 1, 1)}, "1 to 4 entries"),
        ({"depths": (1, 0)}, "positive"),
        ({"widths": (16, -1)}, "positive"),
        ({"stem_width": -4}, "positive"),
        ({"stem": "huge"}, "stem 'huge'"),
        ({"activation": "swish"}, "activation 'swish' is not relu or relu6"),
        ({"norm": "layer"}, "norm 'layer' is not batch or group"),
    ],
)
def test_arch_refuses_wrong_values(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ARCH, **wrong)


@pytest.mark.parametrize("depths", [(3,), (1, 1, 1, 1)])
def test_arch_accepts_one_to_four_stages(depths: tuple[int, ...]) -> None:
    assert Arch(name="x", block="b", depths=depths, widths=depths).depths == depths


@pytest.mark.parametrize(
    ("stem", "size", "resolved"),
    [("auto", 64, "cifar"), ("auto", 65, "imagenet"), ("cifar", 224, "cifar"), ("imagenet", 8, "imagenet")],
)
def test_the_stem_follows_the_image_size(stem: Any, size: int, resolved: str) -> None:
    arch = dataclasses.replace(ARCH, stem=stem).resolve_stem(size)
    assert arch.stem == resolved
    assert dataclasses.replace(arch, stem=stem) == dataclasses.replace(ARCH, stem=stem)


def test_below_four_stages_params_are_counted_for_cifar() -> None:
    assert ARCH.reference == (10, 32)
    assert dataclasses.replace(ARCH, depths=(1,) * 4, widths=(1,) * 4).reference == (1000, 224)


# ---- ImageSpec


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": 33},
        {"channels": 1},
        {"channels": 0, "mean": (), "std": ()},
        {"mean": (0.5,)},
        {"std": (0.5, 0.5)},
        {"std": (0.1, 0.0, 0.1)},
    ],
)
def test_image_spec_refuses_wrong_values(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"image size|mean and std|std"):
        dataclasses.replace(IMAGE, **wrong)


def test_resize_defaults_to_size() -> None:
    assert ImageSpec(size=32).resize == 32
    assert ImageSpec(size=224, resize=256).resize == 256


# ---- DatasetCard, WeightsCard, Policy


def test_repeated_class_names_are_refused() -> None:
    with pytest.raises(ValueError, match="not unique"):
        dataclasses.replace(DATASET, classes=("cat", "cat"))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("evil; curl x | sh", "1"),
        ("--index-url=http://evil", "1"),
        ("a b", "1"),
        ("", "1"),
        ("-r", "1"),
        ("good", "1 && rm -rf ~"),
        ("good", "1\n"),
        ("good\n", "1"),
        ("../x", "1"),
        ("x" * 200, "1"),
    ],
)
def test_plugins_are_named_as_distributions(name: str, version: str) -> None:
    for field in ("required", "used"):
        with pytest.raises(ValueError, match="not the name and version of a distribution"):
            Plugins.from_json({field: {name: version}})


@pytest.mark.parametrize(("name", "version"), [("My_Nets.x", "1!2.0rc1+local.1"), ("a", "?"), ("b-2", "")])
def test_real_names_and_versions_are_accepted(name: str, version: str) -> None:
    assert Plugins(required={name: version}).required == {name: version}


def test_a_weights_card_has_no_time_host_path_or_run() -> None:
    names = {item.name for item in dataclasses.fields(WeightsCard)}
    assert not {name for name in names if any(word in name for word in ("time", "date", "host", "path", "run"))}


def test_cards_of_classifiers_have_no_keys_for_other_tasks() -> None:
    assert "head" not in WEIGHTS.to_json()
    assert WEIGHTS.task == "classify"
    assert "truth" not in DATASET.to_json()
    assert DatasetCard.from_json(DATASET.to_json() | {"truth": "masks"}).truth == "masks"
    with pytest.raises(ValueError, match="truth"):
        DatasetCard.from_json(DATASET.to_json() | {"truth": "keypoints"})


def test_that_val_was_seen_is_written_only_where_it_was() -> None:
    clean = WeightsCard(arch=ARCH, classes=("a", "b"), image=IMAGE)
    assert "val_seen" not in clean.to_json()
    seen = dataclasses.replace(clean, val_seen=True)
    assert WeightsCard.from_json(seen.to_json()) == seen
    with pytest.raises(ValueError, match="val_seen"):
        WeightsCard.from_json(seen.to_json() | {"val_seen": "yes"})


def test_channels_are_written_only_where_some_are_gone() -> None:
    whole = WeightsCard(arch=ARCH, classes=("a", "b", "c"), image=IMAGE)
    assert "channels" not in whole.to_json()
    card = dataclasses.replace(whole, channels={"conv1": (3, 2, 1)})
    assert card.to_json()["channels"] == {"conv1": [3, 2, 1]}
    assert WeightsCard.from_json(card.to_json()) == card
    with pytest.raises(ValueError, match="conv1"):
        WeightsCard.from_json(card.to_json() | {"channels": {"conv1": ["x"]}})
