"""Defaults follow the arch and the dataset card; a config describes one arch."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from resnetctl import registry
from resnetctl.config.defaults import FINETUNE_KEYS, TRAIN_KEYS, described, final_arch, suited, suited_to_finetune
from resnetctl.config.options import fields
from resnetctl.config.schema import FinetuneConfig, ModelConfig, OptimConfig, TrainConfig
from resnetctl.errors import UsageError
from resnetctl.spec import Arch, DatasetCard, ImageSpec, Scalar

NET = Arch(name="net", block="basic", depths=(3, 3, 3), widths=(16, 32, 64), block_args={"shortcut": "A"}, params=7)

RECIPE = FinetuneConfig(epochs=20, optim=OptimConfig(name="adamw"))  # what the recipe `finetune` says


@pytest.fixture(autouse=True)
def net() -> Iterator[None]:
    with registry.overlay("arch", net=NET):
        yield


def card(size: int = 32, **defaults: Scalar) -> DatasetCard:
    return DatasetCard(name="d", classes=("a", "b"), image=ImageSpec(size=size), splits={}, defaults=defaults)


def card_of(images: int) -> DatasetCard:
    return dataclasses.replace(card(), splits={"train": images})


def deep(*depths: int) -> Arch:
    return Arch(name="deep", block="basic", depths=depths, widths=(16,) * len(depths))


@pytest.mark.parametrize(
    ("size", "augment", "epochs"), [(8, "standard", 200), (64, "standard", 200), (224, "resized-crop", 90)]
)
def test_small_pictures_and_photos_have_different_defaults(size: int, augment: str, epochs: int) -> None:
    values = suited(NET, card(size)).values
    assert (values["augment"], values["epochs"]) == (augment, epochs)
    # the size that the net expects, not that of the dataset
    assert suited_to_finetune(FinetuneConfig(size=size), card(32)).values["augment"] == augment


def test_very_deep_nets_warm_up() -> None:
    assert "warmup" not in suited(deep(9, 9, 9), card()).values  # resnet56
    assert suited(deep(18, 18, 18), card()).values["warmup"] == 1.0  # resnet110, He et al. 2015, 4.2


def test_the_card_wins_and_adds_only_config_keys() -> None:
    values = suited(deep(18, 18, 18), card(epochs=7, augment="shift", warmup=0.0, mirror=False)).values
    assert (values["epochs"], values["augment"], values["warmup"]) == (7, "shift", 0.0)
    assert "mirror" not in values  # used by the augmentation policy, not a config key
    assert suited_to_finetune(RECIPE, card(augment="shift", epochs=7)).values == {"augment": "shift"}


def test_the_origin_of_a_default_names_the_dataset_or_the_arch() -> None:
    origins = suited(deep(18, 18, 18), card(lr=0.3)).origins
    assert (origins["warmup"], origins["epochs"], origins["lr"]) == ("arch deep", "dataset d", "dataset d")
    assert suited_to_finetune(RECIPE, card()).origins == {"augment": "dataset d"}


@pytest.mark.parametrize(
    ("images", "asked", "origin"),
    [
        (1438, {"epochs": 15, "batch_size": 64}, "rule: 1,438 images, 15 epochs"),
        (50_000, {"steps": 700}, "rule: 700 steps"),
        (50_000, {"epochs": 5}, "rule: 50,000 images, 5 epochs"),
        (400, {}, "rule: 400 images, 200 epochs"),
        (1000, {"epochs": 20}, ""),  # batches of 32 at .025
        (1000, {"epochs": 20, "lr": 0.05}, "rule: 1,000 images, 20 epochs"),
        (50_000, {"steps": 700, "lr": 0.01}, ""),
        (50_000, {"epochs": 6}, ""),
        (50_000, {"steps": 2000}, ""),
        (1000, {"steps": 9, "optim.name": "muon"}, ""),
        (0, {}, ""),
    ],
)
def test_a_short_run_of_sgd_warms_up_for_a_fifth(images: int, asked: dict[str, Any], origin: str) -> None:
    chosen = suited(deep(9, 9, 9), card_of(images), asked=asked)
    assert (chosen.values.get("warmup"), chosen.origins.get("warmup", "")) == ("20%" if origin else None, origin)


def test_a_dataset_may_refuse_the_warm_up_of_short_runs() -> None:
    listed = dataclasses.replace(card(warmup=0.0, epochs=15), splits={"train": 1438})
    assert suited(deep(18, 18, 18), listed).values["warmup"] == 0.0


@pytest.mark.parametrize(("images", "batch_size"), [(2, 16), (245, 16), (1000, 32), (2000, 64), (50_000, 64)])
def test_finetuning_on_few_images_uses_small_batches(images: int, batch_size: int) -> None:
    values = suited_to_finetune(RECIPE, card_of(images))
    assert values.values["batch_size"] == batch_size
    assert values.origins["batch_size"] == f"rule: {images:,} images, 20 epochs"


@pytest.mark.parametrize(
    ("images", "asked", "values"),
    [
        (60, {"optim.name": "sgd"}, (16, 0.0125)),
        (400, {}, (128, None)),
        (245, {"epochs": 40}, (16, 0.0125)),
        (50_000, {"epochs": 1}, (64, 0.05)),
    ],
)
def test_training_on_few_images_uses_small_batches(
    images: int, asked: dict[str, Any], values: tuple[int, float | None]
) -> None:
    chosen = suited(NET, card_of(images), asked=asked)
    assert (chosen.values.get("batch_size", 128), chosen.values.get("lr")) == values
    assert "optim.name" not in chosen.values


@pytest.mark.parametrize("asked", [{"batch_size": 64}, {"lr": 0.2}, {"steps": 9}])
def test_a_batch_size_learning_rate_or_number_of_steps_switches_the_rule_off(asked: dict[str, Any]) -> None:
    assert not {"batch_size", "lr", "optim.name"} & suited(NET, card_of(40), asked=asked).values.keys()
    listed = dataclasses.replace(card(batch_size=64), splits={"train": 40})
    assert suited(NET, listed).values["batch_size"] == 64
    assert "optim.name" not in suited(NET, listed).values


def test_a_run_that_is_too_short_for_sgd_uses_adamw() -> None:
    short = suited(NET, card_of(300), asked={"epochs": 6})
    values = {
        "batch_size": 16,
        "optim.name": "adamw",
        "lr": 0.001,
        "weight_decay": 0.05,
        "warmup": "10%",
        "keep": "last",
    }
    assert {key: short.values[key] for key in values} == values
    assert {short.origins[key] for key in values} == {"rule: 300 images, 6 epochs"}
    rates = [suited(NET, card_of(70), asked={"epochs": epochs}).values["lr"] for epochs in (1, 8, 16, 40)]
    assert rates == [0.002, 0.002, 0.0014, 0.001]  # 4, 35, 70 and 175 steps
    steps = {"epochs": 600 * 16 // 300}  # from here on batches of 16 make 600 steps
    assert "optim.name" not in suited(NET, card_of(300), asked=steps).values
    for asked in ({"early_stop": 2}, {"val_fraction": 0.4}):
        assert "keep" not in suited(NET, card_of(300), asked={"epochs": 6, **asked}).values
    own = suited(NET, card_of(300), asked={"epochs": 6, "optim.momentum": 0.8})  # who sets this wants SGD
    assert own.values["lr"] == 0.0125
    assert "optim.name" not in own.values


def test_finetuning_keeps_the_best_epoch_on_few_val_images_too() -> None:
    assert "keep" in suited(NET, card_of(60), asked={"epochs": 20}).values
    assert "keep" not in suited_to_finetune(RECIPE, card_of(60)).values  # benchmarks/finetune.md


def test_an_adaptive_optimizer_of_the_user_gets_its_own_learning_rate_in_training() -> None:
    chosen = suited(NET, card_of(50_000), asked={"optim.name": "adamw"})
    assert (chosen.values["lr"], chosen.origins["lr"]) == (0.001, "rule: adamw")
    assert suited(NET, card_of(50_000), asked={"optim.name": "adam"}).values["weight_decay"] == 5e-4
    assert "lr" not in suited(NET, card_of(50_000), asked={"optim.name": "adamw", "lr": 1e-4}).values
    assert suited(NET, card(lr=0.1, weight_decay=5e-4), asked={"optim.name": "adamw"}).values["lr"] == 0.001
    few = suited(NET, card_of(60), asked={"optim.name": "adamw"}).values
    assert (few["batch_size"], few["lr"]) == (16, 0.001)


def test_fewer_epochs_use_smaller_batches_and_a_number_of_steps_leaves_them() -> None:
    assert suited_to_finetune(FinetuneConfig(epochs=5), card_of(2000)).values["batch_size"] == 16
    assert "batch_size" not in suited_to_finetune(FinetuneConfig(epochs=0, steps=9), card_of(2000)).values


def test_an_optimizer_of_the_user_gets_its_own_learning_rate() -> None:
    sgd = suited_to_finetune(FinetuneConfig(optim=OptimConfig(name="sgd")), card())
    assert (sgd.values["lr"], sgd.origins["lr"]) == (0.02, "rule: sgd")
    assert "lr" not in suited_to_finetune(RECIPE, card()).values


def test_defaults_are_keys_of_the_config() -> None:
    assert set(TRAIN_KEYS) <= {key for key, _ in fields(TrainConfig)}
    for asked in ({}, {"epochs": 1}, {"optim.name": "adamw"}):
        assert set(suited(deep(18, 18, 18), card_of(300), asked=asked).values) <= set(TRAIN_KEYS)
    assert set(FINETUNE_KEYS) <= {key for key, _ in fields(FinetuneConfig)}
    for name in ("sgd", "adam", "adamw"):
        chosen = suited_to_finetune(FinetuneConfig(optim=OptimConfig(name=name)), card_of(2000))
        assert set(chosen.values) <= set(FINETUNE_KEYS)


def test_a_dataset_chooses_its_sampler_for_every_kind_of_run() -> None:
    remote = dataclasses.replace(card(224), defaults={"sampler": "windowed"})
    headed = ModelConfig(arch="net", head="ssd")
    layers = [suited(deep(18), remote), suited(deep(18), remote, head=headed)]
    layers += [suited_to_finetune(FinetuneConfig(model=model), remote) for model in (ModelConfig(), headed)]
    assert [chosen.values["sampler"] for chosen in layers] == ["windowed"] * 4
    assert "sampler" not in suited(deep(18), card(224)).values


def test_help_texts_of_defaults_name_the_values_that_the_rules_give() -> None:
    for size, place in ((32, 0), (224, 1)):
        values = suited(deep(18, 18, 18), card(size)).values
        for key in ("epochs", "augment", "weight_decay"):
            assert str(values[key]) == TRAIN_KEYS[key].partition("; adamw")[0].split("; photos: ")[place]
    deepest = TRAIN_KEYS["warmup"].split("; ")[1]
    assert suited(deep(18, 18, 18), card(32)).values["warmup"] == float(deepest.rpartition(": ")[2])
    rates = suited(NET, card(32), asked={"optim.name": "adamw"}).values
    for key in ("lr", "weight_decay", "warmup"):
        assert TRAIN_KEYS[key].endswith(f"adamw: {rates[key]}")
    for name in ("sgd", "adam"):
        values = suited_to_finetune(FinetuneConfig(optim=OptimConfig(name=name)), card_of(2000)).values
        assert str(values["weight_decay"]) in FINETUNE_KEYS["weight_decay"]


def test_the_block_of_the_arch_keeps_its_arguments() -> None:
    assert final_arch(ModelConfig(arch="net", block="basic")) == NET
    assert final_arch(ModelConfig(arch="net", block="preact_basic")).block_args == {}
    assert final_arch(ModelConfig(arch="net", block="preact_basic")).summary == "net with block preact_basic"


def arch_of(**model: Any) -> Arch:
    return final_arch(ModelConfig(arch="net", **model))


def test_an_arch_by_name_is_that_arch() -> None:
    assert arch_of() == NET


def test_block_arguments_override_those_of_the_arch() -> None:
    arch = arch_of(block_args={"extra": 1})
    assert arch.block_args == {"shortcut": "A", "extra": 1}
    assert arch.params is None  # no longer what was published
    assert arch_of(block_args={"shortcut": "A"}).params == 7


def test_activation_and_norm_are_part_of_the_arch() -> None:
    arch = arch_of(activation="silu", norm="group", block_args={"extra": 1})
    assert dict(arch.block_args) == {"shortcut": "A", "extra": 1}
    assert (arch.activation, arch.norm, arch.params) == ("silu", "group", None)
    assert arch_of(activation="silu").params is None
    assert final_arch(ModelConfig(**described(arch))) == dataclasses.replace(arch, params=None)


def test_another_block_drops_the_arguments_of_the_arch() -> None:
    arch = arch_of(block="bottleneck", block_args={"width": 2})
    assert (arch.block, dict(arch.block_args), arch.params) == ("bottleneck", {"width": 2}, None)
    assert dict(arch_of(block="bottleneck").block_args) == {}


def test_the_stem_can_be_set() -> None:
    assert arch_of(stem="imagenet").stem == "imagenet"
    assert arch_of().stem == "auto"


def test_an_unknown_arch_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no arch is called 'nett'"):
        final_arch(ModelConfig(arch="nett"))


@pytest.mark.parametrize(
    ("truth", "images", "batch", "rate", "epochs"),
    [
        ("boxes", 205, 4, 2e-3, 39),
        ("masks", 999, 4, 2e-3, 8),
        ("boxes", 5000, 8, 1e-3, 3),
        ("tags", 205, 16, 1e-3, 156),
    ],
)
def test_few_pictures_with_boxes_or_masks_get_small_batches(
    truth: Any, images: int, batch: int, rate: float, epochs: int
) -> None:
    data = dataclasses.replace(card_of(images), truth=truth)
    values = suited(NET, data, head=ModelConfig(head="any")).values
    assert (values["batch_size"], values["lr"], values["epochs"]) == (batch, rate, epochs)
    assert "epochs" not in suited(NET, data, head=ModelConfig(head="any"), asked={"steps": 9}).values
    own = suited_to_finetune(FinetuneConfig(model=ModelConfig(head="any")), data).values
    assert own["batch_size"] == batch


def test_another_optimizer_of_a_head_has_its_own_rate() -> None:
    data = dataclasses.replace(card_of(205), truth="boxes")
    values = suited(NET, data, head=ModelConfig(head="any"), asked={"optim.name": "sgd"}).values
    assert (values["lr"], values["weight_decay"]) == (0.01, 1e-4)
