from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.distributions import install
from support.jobs import job

from resnetctl import registry
from resnetctl.config.defaults import final_arch
from resnetctl.config.layers import Resolved
from resnetctl.engine.hardware import precision, threads
from resnetctl.errors import ConfigError, PluginError
from resnetctl.hints import Setting, in_shell
from resnetctl.registry import Kind
from resnetctl.system.signals import Stop
from resnetctl.training.job import fresh_model, fresh_state, settle
from resnetctl.training.plan import make_plan


def test_a_settled_config_has_no_automatic_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: "")
    config = job().config
    assert (config.device, config.precision, config.threads, config.size) == ("cpu", "fp32", 1, 8)
    assert config.graph == "off", "a CPU has no CUDA graphs"
    assert config.model.block == "basic"
    assert dict(config.model.block_args) == {"shortcut": "A"}
    assert config.model.stem == "cifar"


def test_a_settled_config_has_floats_where_the_functions_have_floats() -> None:
    config = job("objective.name=focal", "objective.args.gamma=2").config
    assert repr(config.objective.args) == "{'gamma': 2.0}"


def test_the_origin_of_an_automatic_choice_is_rule() -> None:
    origins = job("precision=fp32").origins
    assert origins["threads"] == origins["device"] == "rule"
    assert origins["precision"] == "--set"


def test_a_settled_config_settles_to_itself() -> None:
    first = job()
    resolved = Resolved(config=first.config, origins=first.origins)
    again = settle(resolved, first.store, arch=final_arch(first.config.model), image=first.image)
    assert again.config == first.config
    assert again.arch == first.arch


def test_settling_sets_the_threads_of_torch() -> None:
    before = torch.get_num_threads()
    try:
        job("threads=2")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_seed_gives_the_initial_weights() -> None:
    first, again, other = (fresh_model(job(f"seed={seed}")).fc.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_state_is_channels_last_and_has_an_ema_if_the_config_wants_one() -> None:
    settled = job("ema_decay=0.9")
    state = fresh_state(settled, fresh_model(settled))
    weight = state.model.get_parameter("layer1.0.conv1.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert state.ema is not None


def test_early_stop_needs_a_val_split() -> None:
    with pytest.raises(ConfigError, match="needs a val split"):
        job("early_stop=2", "val_fraction=0")


def test_the_card_of_a_run_without_plugins_names_none() -> None:
    card = job().card({"epoch": 1})
    assert dict(card.plugins.required) == {}
    assert card.metrics["epoch"] == 1
    assert card.trained_on["digest"]


def test_progressive_resizing_that_begins_too_small_for_the_arch_is_refused() -> None:
    for size, unit in ((8, 1), (8, 2), (32, 4), (28, 4), (30, 3)):
        sets = ("model.arch=resnet10_wd2", f"size={size}", f"progressive.size_increment={unit}")
        with pytest.raises(ConfigError, match="begins with images of") as caught:
            job(*sets, "progressive.initial_scale=0.02")
        assert caught.value.where == Setting("progressive.initial_scale")
        assert job(*sets, in_shell(caught.value.hint[0]).removeprefix("--set ")).sides


def test_one_image_per_step_is_refused_when_batch_norm_would_see_one_value_per_channel() -> None:
    settled = job("model.arch=resnet18", "model.stem=cifar", "batch_size=1")  # 8 px, halved three times
    with pytest.raises(ConfigError, match="batch norm cannot train on one image per step") as caught:
        fresh_state(settled, fresh_model(settled))
    assert caught.value.hint[0] == Setting("batch_size", 2, note="or more")
    larger = job("batch_size=1")  # 8 px, halved twice: four values per channel
    assert not fresh_state(larger, fresh_model(larger)).model.training


def test_the_seed_moves_everything_but_the_val_split() -> None:
    first, seeded, split = job(), job("seed=1"), job("split_seed=1")
    assert first.val is not None
    assert seeded.val is not None
    assert split.val is not None
    assert first.split == seeded.split
    assert first.val.index.tolist() == seeded.val.index.tolist()
    assert first.val.index.tolist() != split.val.index.tolist()
    assert (split.split.seed, split.config.seed) == (1, 0)  # type: ignore[union-attr]
    one, two = (fresh_model(settled).fc.weight for settled in (first, split))
    assert torch.equal(one, two)


def test_zero_init_changes_the_ends_of_the_branches_only() -> None:
    plain, zeroed = (fresh_model(job(f"model.zero_init={value}")).state_dict() for value in ("false", "true"))
    changed = {name for name, value in plain.items() if not torch.equal(value, zeroed[name])}
    assert changed == {name for name in plain if name.endswith("bn2.weight")}


def test_an_init_gets_normalised_train_images_before_the_head_and_the_first_step() -> None:
    seen: list[torch.Tensor] = []

    def fill(model: Any, images: torch.Tensor) -> None:
        seen.append(images)
        model.conv1.weight.fill_(images.mean())
        model.conv1.weight.requires_grad_(False)

    with registry.overlay("init", fill=fill):
        settled = job("model.init=fill", "val_fraction=0.5")
        state = fresh_state(settled, fresh_model(settled))
    (images,) = seen
    pixels = settled.train.images[settled.train.index].astype(np.float32)
    assert images.shape == (len(settled.train), 1, 8, 8)
    (mean,), (std,) = settled.image.mean, settled.image.std
    assert float(images.mean()) == pytest.approx((pixels.mean() / 255 - mean) / std, abs=1e-4)
    trained = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    assert all(parameter is not state.model.conv1.weight for parameter in trained)


def test_an_init_that_refuses_the_network_is_a_config_error() -> None:
    def refuse(model: Any, images: torch.Tensor) -> None:
        raise ValueError("it has no attention")

    with (
        registry.overlay("init", refuse=refuse),
        pytest.raises(ConfigError, match="init 'refuse' refuses this network: it has no attention") as caught,
    ):
        fresh_model(job("model.init=refuse"))
    assert caught.value.where == Setting("model.init")


CODE = """
import torch


def broken(model, images):
    model.fc.bias.fill_(float("nan"))


def own(groups, *, lr, momentum=0.9, rho=0.5):
    assert (momentum, rho) == (0.8, 0.25)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum)


def fall(point, *, power=2.0):
    return (1 - point.done) ** power
"""


@pytest.fixture
def own_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution `own` with an optimizer, a schedule and an init."""
    points: dict[Kind, dict[str, str]] = {
        "optimizer": {"own": "own:own"},
        "schedule": {"fall": "own:fall"},
        "init": {"broken": "own:broken"},
    }
    install(tmp_path / "site", "own", points, code=CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.refresh()
    yield
    registry.refresh()


OWN = ("optim.name=own", "optim.momentum=0.8", "optim.args.rho=0.25", "schedule.name=fall", "schedule.args.power=3")


@pytest.mark.usefixtures("own_plugin")
def test_weights_name_the_plugins_that_trained_them_but_do_not_require_them() -> None:
    plugins = job(*OWN).card({}).plugins
    assert dict(plugins.used) == {"own": "1.2"}
    assert dict(plugins.required) == {}
    assert dict(job().card({}).plugins.used) == {}


@pytest.mark.usefixtures("own_plugin")
@pytest.mark.parametrize("wrong", ["optim.args.roh=1", "schedule.args.pow=1", "schedule.args.power=big"])
def test_wrong_arguments_of_a_plugin_are_refused_before_the_run(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot use (optim|schedule)\.args"):
        job(*OWN, wrong)


@pytest.mark.usefixtures("own_plugin")
def test_an_init_that_leaves_nan_is_an_error_that_names_the_plugin() -> None:
    with pytest.raises(PluginError, match=r"init 'broken' of own 1\.2: fc\.bias is NaN"):
        fresh_model(job("model.init=broken"))
    assert dict(job("model.init=broken").card({}).plugins.used) == {"own": "1.2"}


def test_a_batch_too_small_for_its_shards_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch norm needs two images"):
        job("shards=9")


def test_automatic_threads_follow_the_shards_not_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores_granted", lambda: 8)
    monkeypatch.setattr(threads, "TINY_MACS", 0)
    arch = job().arch
    assert [threads.pick_threads(0, arch=arch, size=8, shards=count) for count in (1, 2, 4, 16)] == [8, 4, 2, 1]
    assert threads.pick_threads(3, arch=arch, size=8, shards=4) == 3


@pytest.mark.usefixtures("own_plugin")
def test_an_optimizer_and_a_schedule_of_a_plugin_get_their_arguments() -> None:
    settled = job(*OWN, "lr=0.5", "warmup=0")
    state = fresh_state(settled, fresh_model(settled))
    assert {group["momentum"] for group in state.optimizer.param_groups} == {0.8}
    plan = make_plan(settled, Stop())
    half = settled.steps // 2
    assert plan.learning_rate(0) == 0.5
    assert plan.learning_rate(half) == pytest.approx(0.5 * (1 - half / settled.steps) ** 3)
