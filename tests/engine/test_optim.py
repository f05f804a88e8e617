import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from resnetctl import registry
from resnetctl.config.schema import TrainConfig
from resnetctl.engine.optim import build_optimizer, complaint, rates_from, set_lr
from resnetctl.errors import ConfigError


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def groups(optimizer: torch.optim.Optimizer) -> dict[tuple[float, float], int]:
    return {(group["lr_scale"], group["weight_decay"]): len(group["params"]) for group in optimizer.param_groups}


def test_norms_and_biases_have_no_weight_decay() -> None:
    optimizer = build_optimizer(net(), TrainConfig(weight_decay=0.5), head=())
    assert groups(optimizer) == {(1.0, 0.5): 2, (1.0, 0.0): 4}


def test_norms_and_biases_decay_with_decay_norm_and_bias() -> None:
    config = TrainConfig.model_validate({"weight_decay": 0.5, "optim": {"decay_norm_and_bias": True}})
    assert groups(build_optimizer(net(), config, head=())) == {(1.0, 0.5): 6}


def test_the_head_learns_at_full_rate_and_the_backbone_at_its_scale() -> None:
    model = net()
    optimizer = build_optimizer(model, TrainConfig(), head=list(model[3].parameters()), backbone_scale=0.1)
    set_lr(optimizer, 2.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model[3].weight)] == 2.0
    assert rates[id(model[0].weight)] == pytest.approx(0.2)


def test_a_rate_on_cuda_is_that_of_a_float32_tensor() -> None:
    on_gpu, on_cpu = ({"params": [SimpleNamespace(is_cuda=is_so)], "lr_scale": 0.1} for is_so in (True, False))
    optimizer: Any = SimpleNamespace(param_groups=[on_gpu, on_cpu])
    set_lr(optimizer, 0.7)
    assert on_cpu["lr"] == 0.7 * 0.1
    assert on_gpu["lr"] == torch.tensor(0.7 * 0.1).item() != on_cpu["lr"]


def test_rates_come_from_tensors_only_within_the_with_statement() -> None:
    optimizer = build_optimizer(net(), TrainConfig.model_validate({"optim": {"name": "adam"}}), head=())
    before = [dict(group) for group in optimizer.param_groups]
    rates = [torch.tensor(0.5) for _ in before]
    with rates_from(optimizer, rates):
        assert [group["lr"] for group in optimizer.param_groups] == rates
        assert all(group["capturable"] for group in optimizer.param_groups)
    assert [dict(group) for group in optimizer.param_groups] == before


def test_frozen_parameters_are_in_no_group() -> None:
    model = net()
    model[0].requires_grad_(False)
    assert sum(groups(build_optimizer(model, TrainConfig(), head=())).values()) == 4


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimizers_are_torchs_own_and_take_a_step(name: str, kind: type) -> None:
    model = net()
    optimizer = build_optimizer(model, TrainConfig.model_validate({"optim": {"name": name}}), head=())
    assert isinstance(optimizer, kind)
    before = model[0].weight.detach().clone()
    model(torch.ones(2, 3, 3, 3)).square().sum().backward()
    set_lr(optimizer, 0.1)
    optimizer.step()
    assert not torch.equal(before, model[0].weight)


def test_momentum_zero_switches_nesterov_off() -> None:
    optimizer = build_optimizer(net(), TrainConfig.model_validate({"optim": {"momentum": 0.0}}), head=())
    assert not optimizer.param_groups[0]["nesterov"]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_optimizers_compute_the_same_bits_as_torchs(name: str) -> None:
    config = TrainConfig.model_validate({"optim": {"name": name}, "lr": 0.01, "weight_decay": 0.1})
    mine, theirs = net(), net()
    theirs.load_state_dict(mine.state_dict())
    ours = build_optimizer(mine, config, head=())
    kind = type(ours).__bases__[0]
    defaults = {key: value for key, value in ours.defaults.items() if key != "decoupled_weight_decay"}
    groups = [
        {"params": [dict(zip(mine.parameters(), theirs.parameters(), strict=True))[p] for p in group["params"]]}
        | {key: group[key] for key in ("lr_scale", "weight_decay")}
        for group in ours.param_groups
    ]
    plain = kind(groups, **defaults)
    pairs = ((mine, ours), (theirs, plain))
    steps: list[object] = []
    ours.register_step_post_hook(lambda *_: steps.append(1))
    for step in range(4):
        for model, optimizer in pairs:
            set_lr(optimizer, 0.1 / (step + 1))
            optimizer.zero_grad(set_to_none=True)
            model(torch.linspace(-1, 1, 54).reshape(2, 3, 3, 3)).square().sum().backward()
            optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    assert len(steps) == 4
    assert not any(parameter.grad_fn for parameter in mine.parameters())
    saved, known = ours.state_dict(), plain.state_dict()
    assert saved["param_groups"] == known["param_groups"]
    for number, values in known["state"].items():
        assert all(torch.equal(value, saved["state"][number][key]) for key, value in values.items())
    plain.load_state_dict(saved)
    ours.load_state_dict(known)


def test_training_does_not_load_torch_compile() -> None:
    """Loading it takes seconds and memory, and training does not use it."""
    probe = (
        "import sys, resnetctl as rc\n"
        "rc.train(data='digits', steps=2, threads=1, set={'ema_decay': 0.9})\n"
        "rc.train(data='digits', steps=2, threads=1, set={'optim.name': 'adamw'})\n"
        "sys.exit(' '.join({'torch._dynamo', 'sympy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_layer_decay_lowers_the_rate_from_stage_to_stage() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(4)))
    stages = [[layer.weight] for layer in model[:3]]
    config = TrainConfig.model_validate({"optim": {"layer_decay": 0.5}})
    optimizer = build_optimizer(model, config, head=[model[3].weight], backbone_scale=0.1, stages=stages)
    set_lr(optimizer, 8.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rates[id(layer.weight)] for layer in model] == pytest.approx([0.1, 0.2, 0.4, 8.0])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_frozen_parameters_are_in_the_optimizer_stay_and_thaw(name: str) -> None:
    model = net()
    model[0].requires_grad_(False)
    config = TrainConfig.model_validate({"optim": {"name": name}})
    optimizer = build_optimizer(model, config, head=(), with_frozen=True)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6
    before = model[0].weight.clone()
    for is_frozen in (True, False):
        model[0].requires_grad_(not is_frozen)
        model(torch.randn(2, 3, 3, 3)).square().sum().backward()
        optimizer.step()
        assert torch.equal(model[0].weight, before) == is_frozen


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"momentun": 0.5}, "'momentun' is not an argument"),
        ({"momentum": 0.5}, "'momentum' is set by optim.momentum"),
        ({"rho": 2}, ""),
        ({"rho": "high"}, "'rho' should be like its default 0.5, not 'high'"),
    ],
)
def test_arguments_of_an_optimizer_are_checked(args: dict[str, Any], problem: str) -> None:
    def own(groups: list[dict[str, Any]], *, lr: float, momentum: float = 0.9, rho: float = 0.5) -> Any:
        assert (momentum, rho) == (0.7, 2)
        return torch.optim.SGD(groups, lr=lr, momentum=momentum)

    config = TrainConfig.model_validate({"optim": {"name": "own", "momentum": 0.7, "args": args}})
    with registry.overlay("optimizer", own=own):
        if not problem:
            assert isinstance(build_optimizer(net(), config, head=()), torch.optim.SGD)
            return
        with pytest.raises(ConfigError, match=r"optimizer 'own' cannot use optim\.args") as caught:
            build_optimizer(net(), config, head=())
    assert problem in str(caught.value)


def test_an_optimizer_over_other_groups_has_a_complaint() -> None:
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    given: list[dict[str, Any]] = [{"params": weights, "lr_scale": 1.0}]
    assert complaint(torch.optim.SGD(given, lr=1.0), [2]) == ""
    assert complaint("sgd", [2]) == "it returned str, not a torch.optim.Optimizer"
    assert complaint(torch.optim.SGD(weights[:1], lr=1.0), [2]) == "its groups have [1] parameters, not the given [2]"
    assert complaint(torch.optim.SGD(weights, lr=1.0), [2]) == "its groups lost the key lr_scale"
