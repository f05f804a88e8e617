"""Surgery: a new head keeps classes by name, other channels keep the output, parts are frozen by name."""

import dataclasses

import pytest
import torch
from torch import nn

from resnetctl import registry
from resnetctl.errors import ConfigError, UsageError
from resnetctl.models.archs import preact_resnet20, resnet18, resnet20
from resnetctl.models.resnet import ResNet, build
from resnetctl.models.surgery import adapt_input, freeze, swap_head, zero_branches
from resnetctl.spec import ImageSpec


def network(classes: int = 3, channels: int = 3) -> ResNet:
    torch.manual_seed(0)
    spec = ImageSpec(size=16, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels)
    return build(resnet20, classes=classes, image=spec).eval()


def test_a_class_in_both_heads_keeps_its_row() -> None:
    model = network()
    weight, bias = model.fc.weight.clone(), model.fc.bias.clone()
    report = swap_head(model, old=("cat", "dog", "bird"), new=("fish", "bird", "cat", "newt"))
    assert (report.kept, report.new, report.dropped) == (("bird", "cat"), ("fish", "newt"), ("dog",))
    assert model.fc.out_features == 4
    assert torch.equal(model.fc.weight[[1, 2]], weight[[2, 0]])
    assert torch.equal(model.fc.bias[[1, 2]], bias[[2, 0]])
    assert not any(torch.equal(model.fc.weight[row], old) for row in (0, 3) for old in weight)


def test_a_permuted_head_permutes_the_logits() -> None:
    model = network()
    pictures = torch.randn(2, 3, 16, 16)
    before = model(pictures)
    swap_head(model, old=("a", "b", "c"), new=("c", "a", "b"))
    assert torch.allclose(model(pictures), before[:, [2, 0, 1]], atol=1e-6)


def test_fresh_rows_follow_the_seed_and_start_small() -> None:
    rows = []
    for seed in (1, 1, 2):
        model = network()
        torch.manual_seed(seed)
        swap_head(model, old=("a", "b", "c"), new=("x", "y"))
        rows.append(model.fc.weight.detach())
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    assert rows[0].abs().max() <= 1 / 8  # 1 / sqrt(64 features), torch's default


def test_the_new_head_keeps_type_mode_and_gradients() -> None:
    model = network().double().train()
    model.fc.requires_grad_(False)
    swap_head(model, old=("a", "b", "c"), new=("a",))
    assert model.fc.weight.dtype == torch.float64
    assert model.fc.training
    assert not model.fc.weight.requires_grad
    assert model.parts()["head"] == [model.fc]


def test_a_wrong_number_of_old_names_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="3 outputs, but 2 class names"):
        swap_head(network(), old=("a", "b"), new=("a",))


def test_grey_sums_the_kernels_and_colour_shares_them_equally() -> None:
    model = network()
    weight = model.conv1.weight.detach().clone()
    adapt_input(model, 1)
    assert torch.allclose(model.conv1.weight, weight.sum(1, keepdim=True), atol=1e-6)
    grey = model.conv1.weight.detach().clone()
    adapt_input(model, 3)
    assert torch.allclose(model.conv1.weight, grey.expand(-1, 3, -1, -1) / 3)
    assert (model.conv1.in_channels, model.conv1.weight.shape[1]) == (3, 3)


@pytest.mark.parametrize("before", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 7])
def test_an_image_with_equal_channels_keeps_its_logits(before: int, after: int) -> None:
    model = network(channels=before)
    plane = torch.randn(2, 1, 16, 16)
    expected = model(plane.expand(-1, before, -1, -1))
    adapt_input(model, after)
    assert torch.allclose(model(plane.expand(-1, after, -1, -1)), expected, atol=1e-4)


def test_an_equal_number_of_channels_changes_nothing() -> None:
    model = network()
    weight = model.conv1.weight
    adapt_input(model, 3)
    assert model.conv1.weight is weight


def test_adapting_the_input_keeps_a_frozen_convolution_frozen() -> None:
    model = network()
    freeze(model.parts(), "stem")
    adapt_input(model, 1)
    assert not model.conv1.weight.requires_grad
    adapt_input(unfrozen := network(), 1)
    assert unfrozen.conv1.weight.requires_grad


@pytest.mark.parametrize(
    ("names", "frozen"),
    [
        ("none", set()),
        ("", set()),
        ("stem", {"conv1", "bn1"}),
        ("layer1, stem,stem", {"conv1", "bn1", "layer1"}),
        ("backbone", {"conv1", "bn1", "layer1", "layer2", "layer3"}),
        ("head", {"fc"}),
    ],
)
def test_parts_are_frozen_by_name(names: str, frozen: set[str]) -> None:
    model = network()
    modules = freeze(model.parts(), names)
    assert {name.partition(".")[0] for name, value in model.named_parameters() if not value.requires_grad} == frozen
    assert {id(value) for module in modules for value in module.parameters()} == {
        id(value) for value in model.parameters() if not value.requires_grad
    }


@pytest.mark.parametrize("arch", [resnet20, resnet18, preact_resnet20])
def test_frozen_parts_in_eval_mode_keep_weights_and_statistics(arch: object) -> None:
    model = build(arch, classes=3, image=ImageSpec(size=16)).train()  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for module in freeze(model.parts(), "backbone"):
        module.eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=0.1)
    model(torch.randn(4, 3, 16, 16)).square().sum().backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_the_final_norm_is_frozen_with_the_last_stage() -> None:
    model = build(preact_resnet20, classes=3, image=ImageSpec(size=16))
    assert any(
        isinstance(module, nn.BatchNorm2d) and module is model.norm for module in freeze(model.parts(), "layer3")
    )


@pytest.mark.parametrize("names", ["layer9", "stem,laier1", "none,stem"])
def test_an_unknown_part_lists_the_parts(names: str) -> None:
    with pytest.raises(UsageError, match="no part") as caught:
        freeze(network().parts(), names)
    assert caught.value.exit_code == 2
    assert "parts: none, backbone, stem, layer1, layer2, layer3, head" in caught.value.hint


@pytest.mark.parametrize("block", ["basic", "bottleneck", "preact_basic", "preact_bottleneck"])
def test_zero_branches_make_every_block_its_shortcut_and_can_be_trained(block: str) -> None:
    arch = dataclasses.replace(resnet20, block=block, block_args={})
    model = build(arch, classes=3, image=ImageSpec(size=16))
    zero_branches(model)
    unit = model.get_submodule("layer2")[1]  # type: ignore[index]
    images = torch.randn(4, arch.widths[1] * unit.expansion, 8, 8)
    expected = images if unit.preactivation else images.relu()
    assert torch.equal(unit(images.clone()), expected)
    model(torch.randn(4, 3, 16, 16)).square().sum().backward()
    gradient = unit.get_parameter(f"{unit.branch_end}.weight").grad
    assert gradient.abs().max() > 0


def test_a_block_that_does_not_name_its_end_is_refused() -> None:
    class Own(registry.get("block", "basic")):  # type: ignore[misc]
        branch_end = ""

    with registry.overlay("block", own=Own):
        model = build(dataclasses.replace(resnet20, block="own"), classes=3, image=ImageSpec(size=16))
    with pytest.raises(ConfigError, match="block 'own' does not say where its branch ends"):
        zero_branches(model)
