"""A draft is validated once and settled once, in the same way for every verb."""

import dataclasses
from pathlib import Path

import pytest
from support.jobs import to_bench, to_finetune, to_train

from resnetctl.cli.parser.flag_layers import from_flags, from_sets
from resnetctl.config import layers as layering
from resnetctl.config.draft import draft
from resnetctl.config.layers import Layer, from_file, together
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError, PluginError, UsageError
from resnetctl.hints import Setting, in_shell
from resnetctl.spec import Arch, DatasetCard, ImageSpec, Plugins, Scalar, WeightsCard
from resnetctl.system import settings

FIXED = from_flags({"epochs": 3, "threads": 1}, {"epochs": "--epochs", "threads": "--threads"})


def data(size: int = 32, **defaults: Scalar) -> DatasetCard:
    return DatasetCard(name="pets", classes=("a", "b"), image=ImageSpec(size=size), splits={}, defaults=defaults)


def weights(size: int = 224) -> WeightsCard:
    return WeightsCard(
        arch=Arch(name="mine", block="bottleneck", depths=(1, 1), widths=(4, 8), stem="imagenet"),
        classes=("a", "b"),
        image=ImageSpec(size=size),
        plugins=Plugins(required={}, used={}),
        trained_on={},
        split=None,
        metrics={},
        config_sha256="",
        version="0",
    )


@pytest.mark.parametrize("name", ["shift+standard", "shift,standard", "standard, shift", "shift+none+standard"])
@pytest.mark.parametrize("key", ["augment", "augment_after"])
def test_names_of_several_policies_are_refused_with_what_to_do(key: str, name: str) -> None:
    with pytest.raises(UsageError, match="policies, and a run uses one at a time") as caught:
        to_train(from_sets(["epochs=4", "augment_until=2"]), from_flags({key: name}, {key: "--augment"}))
    assert [in_shell(hint).partition("  ")[0] for hint in caught.value.hint] == [
        "resnetctl plugins new my-policy --kind policy",
        f"--augment-after {name.rpartition('+')[2].rpartition(',')[2].strip()}",
    ]


def test_an_unknown_part_of_a_joined_name_is_an_unknown_policy() -> None:
    with pytest.raises(UsageError, match=r"no policy is called 'shift\+shake'"):
        to_train(from_sets(["augment=shift+shake"]))


def test_the_data_set_the_keys_that_the_user_left_open() -> None:
    resolved = to_train(from_sets(["lr=0.3"])).settled(data(augment="shift", lr=0.5))
    assert (resolved.config.augment, resolved.origins["augment"]) == ("shift", "dataset pets")
    assert (resolved.config.lr, resolved.origins["lr"]) == (0.3, "--set")
    assert resolved.origins["seed"] == "default"


def test_unknown_data_keep_the_plain_defaults() -> None:
    resolved = to_train(from_sets(["data=./photos"])).settled(None)
    assert (resolved.config.epochs, resolved.origins["epochs"]) == (200, "default")


def test_steps_switch_off_the_epochs_of_the_dataset() -> None:
    resolved = to_train(from_sets(["steps=7"])).settled(data(epochs=90))
    assert (resolved.config.steps, resolved.config.epochs) == (7, 0)


def test_bench_settles_as_train_does() -> None:
    card = data(batch_size=16)
    assert to_bench().config.data == "digits"
    assert to_bench().settled(card).config.batch_size == to_train().settled(card).config.batch_size == 16


def test_the_weights_set_the_architecture_and_the_size_of_finetune() -> None:
    resolved = to_finetune(from_sets(["data=pets"])).settled(data(size=32), weights(size=224))
    assert (resolved.config.model.arch, resolved.config.model.block) == ("mine", "bottleneck")
    assert resolved.origins["model.arch"] == "weights"
    assert (resolved.config.epochs, resolved.origins["epochs"]) == (20, "recipe finetune")
    assert (resolved.config.distill.weight, TrainConfig().distill.weight) == (0.5, 0.9)
    assert resolved.config.augment == "resized-crop"  # 224 pixels of the network decide, not the 32 of the data
    assert to_finetune().settled(data(size=32)).config.augment == "standard"


def test_the_number_of_images_sets_the_batch_size_of_finetune_unless_the_user_does() -> None:
    few = dataclasses.replace(data(), splits={"train": 245})
    resolved = to_finetune().settled(few)
    assert (resolved.config.batch_size, resolved.origins["batch_size"]) == (16, "rule: 245 images, 20 epochs")
    assert to_finetune(from_sets(["batch_size=8"])).settled(few).config.batch_size == 8
    assert to_finetune().settled(None).config.batch_size == 64


def test_the_number_of_images_sets_the_batch_size_of_train() -> None:
    few = dataclasses.replace(data(), splits={"train": 245})
    resolved = to_train(from_sets(["epochs=40"])).settled(few)
    assert (resolved.config.batch_size, resolved.config.lr, resolved.config.optim.name) == (16, 0.0125, "sgd")
    assert resolved.origins["lr"] == "rule: 245 images, 40 epochs"
    short = to_train(from_sets(["epochs=20", "warmup=0"])).settled(few).config
    assert (short.batch_size, short.lr, short.optim.name, short.warmup) == (16, 0.001, "adamw", 0)


def test_a_draft_with_another_length_gets_the_rules_for_it() -> None:
    few = dataclasses.replace(data(), splits={"train": 245})
    for asked in (to_train(), to_finetune(from_sets(["data=pets"]))):
        other = asked.lasting({"epochs": 9, "steps": 0}, origin="budget")
        resolved = other.settled(few)
        assert (resolved.config.epochs, resolved.origins["epochs"]) == (9, "budget")
        assert resolved.origins["batch_size"] == "rule: 245 images, 9 epochs"
        assert "epochs" not in asked.asked.values
    assert (
        to_train(from_sets(["lr=0.3"])).lasting({"epochs": 9, "steps": 0}, origin="budget").settled(few).config.lr
        == 0.3
    )


def test_an_optimizer_of_the_user_brings_its_learning_rate_to_finetune() -> None:
    resolved = to_finetune(from_sets(["optim.name=sgd"])).settled(data())
    assert (resolved.config.lr, resolved.origins["lr"]) == (0.02, "rule: sgd")
    assert to_finetune(from_sets(["optim.name=sgd", "lr=0.3"])).settled(data()).config.lr == 0.3
    assert to_finetune().settled(data()).config.lr == 0.001


def test_the_environment_is_weaker_than_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETCTL_THREADS", "3")
    settings.load.cache_clear()
    assert to_train().asked.origins["threads"] == "env RESNETCTL_THREADS"
    assert to_train(from_sets(["threads=1"])).config.threads == 1


@pytest.mark.parametrize("sets", [["model.arch=resnet21"], ["model.block=nonsense"], ["augment=nonsense"]])
def test_an_unknown_name_is_an_error_before_data_and_weights_are_read(sets: list[str]) -> None:
    with pytest.raises(UsageError, match="is called"):
        to_train(from_sets(sets))


def test_finetune_leaves_the_architecture_to_the_weights() -> None:
    assert to_finetune(from_sets(["model.arch=resnet21"])).asked.values["model.arch"] == "resnet21"


def test_all_wrong_values_are_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        to_train(from_sets(["epochz=1", "lr=-1"]))
    assert len(caught.value.problems) == 2


def test_budget_and_tune_refuse_values_that_a_flag_or_argument_fixes() -> None:
    with pytest.raises(UsageError, match="budget chooses the length of the run, and flag --epochs fixes it") as caught:
        to_train(FIXED, budget=60.0)
    assert caught.value.where == Setting("budget")
    with pytest.raises(UsageError, match="tune chooses the threads, and flag --threads fixes it"):
        to_train(FIXED, tune=True)
    with pytest.raises(UsageError, match="argument steps fixes it"):
        to_train(Layer({"steps": 9}, {"steps": "argument steps"}), budget=60.0)
    assert to_train(FIXED).config.epochs == 3


def test_budget_and_tune_override_a_file() -> None:
    Path("my.toml").write_text("epochs = 3\nthreads = 1\n")
    assert to_train(from_file(Path("my.toml")), budget=60.0, tune=True).request.tune


@pytest.mark.parametrize("origin", ["--set", "set"])
def test_budget_does_not_override_set(origin: str) -> None:
    with pytest.raises(UsageError, match="set fixes it: give one of them"):
        to_train(Layer({"epochs": 3}, {"epochs": origin}), budget=60.0)


def test_files_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my.toml").write_text("lr = 0.2\n")
    parsed: list[str] = []
    original = layering._parse
    monkeypatch.setattr(layering, "_parse", lambda text, name: (parsed.append(name), original(text, name))[1])
    asked = draft(TrainConfig, [from_file(Path("my.toml"))], settings=settings.load())
    for _ in range(3):
        assert asked.settled(data()).config.lr == 0.2
    assert parsed == ["my.toml"]


def test_a_card_that_names_a_policy_that_is_gone_says_so() -> None:
    with pytest.raises(PluginError, match="the card of dataset pets asks for the policy 'gone'") as caught:
        to_train().settled(data(augment="gone"))
    assert caught.value.hint[0] == Setting("augment", "standard", note="trains without it")
    assert to_train(from_sets(["augment=shift"])).settled(data(augment="gone")).config.augment == "shift"


def test_bench_takes_the_config_of_a_finetune_run(machine: Path) -> None:
    (machine / "tuned.toml").write_text('lr = 0.3\nweights = "x"\nweights_sha256 = "y"\nfreeze = "backbone"\n')
    request = to_bench(from_file(machine / "tuned.toml"))
    assert (request.config.lr, request.left_out) == (0.3, ("weights", "weights_sha256", "freeze"))
    with pytest.raises(ConfigError):
        to_bench(from_sets(["freeze=backbone"]))


def test_train_refuses_the_config_of_a_finetune_run(machine: Path) -> None:
    file = machine / "tuned.toml"
    file.write_text('lr = 0.3\nfreeze = "backbone"\n[model]\narch = "resnet20"\n')
    with pytest.raises(ConfigError, match="config of a finetune run: train has no 'freeze'") as caught:
        draft(TrainConfig, [from_file(file)], settings=settings.load(), file=file)
    assert [in_shell(hint) for hint in caught.value.hint] == [f"resnetctl finetune --config {file}"]
    with pytest.raises(ConfigError, match="unknown keys"):
        draft(TrainConfig, [from_sets(["freeze=backbone"])], settings=settings.load(), file=file)


def test_other_weights_void_the_digest_of_a_weaker_layer() -> None:
    old = from_sets(["weights=one", "weights_sha256=abc"])
    assert to_finetune(old).config.weights_sha256 == "abc"
    assert to_finetune(old, from_sets(["weights=two"])).config.weights_sha256 == ""


@pytest.mark.parametrize(
    ("key", "wrong", "kind", "close"),
    [
        ("optim.name", "adanw", "optimizer", "adamw"),
        ("schedule.name", "multstep", "schedule", "multistep"),
        ("objective.name", "focl", "objective", "focal"),
    ],
)
def test_an_unknown_optimizer_schedule_or_objective_suggests_a_similar_one(
    key: str, wrong: str, kind: str, close: str
) -> None:
    with pytest.raises(UsageError, match=f"no {kind} is called '{wrong}'") as caught:
        to_train(from_sets([f"{key}={wrong}"]))
    assert caught.value.hint[0] == f"did you mean '{close}'?"


def test_another_optimizer_or_schedule_drops_the_arguments_of_the_old_one() -> None:
    weaker = from_sets(["optim.name=muon", "optim.args.rho=0.1", "schedule.name=poly", "schedule.args.power=2"])
    weaker = together(weaker, from_sets(["objective.name=focal", "objective.args.gamma=1"]))
    stronger = from_sets(["optim.name=sgd", "schedule.name=linear", "objective.name=cross-entropy"])
    config = to_train(weaker, stronger).config
    assert (config.optim.name, config.optim.args) == ("sgd", {})
    assert (config.schedule.name, config.schedule.args) == ("linear", {})
    assert (config.objective.name, config.objective.args) == ("cross-entropy", {})
    added = from_sets(["optim.args.momentum_end=0.95"])
    assert to_train(stronger, added).config.optim.args == {"momentum_end": 0.95}


def test_a_policy_takes_arguments_by_a_short_key() -> None:
    config = to_train(from_sets(["augment=shift", "augment.reach=0.25"])).config
    assert (config.augment, config.augment_args) == ("shift", {"reach": 0.25})
    weaker = from_sets(["augment=randaugment", "augment.magnitude=5"])
    assert to_train(weaker, from_sets(["augment=shift"])).config.augment_args == {}
