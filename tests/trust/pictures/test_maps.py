"""Maps are compared with formulas that hold exactly, and with torchcam where it is installed."""

import numpy as np
import pytest
import torch
from scipy import stats
from support.trained import IMAGE, network

from resnetctl import registry
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec
from resnetctl.trust.pictures import maps
from resnetctl.trust.pictures.maps import METHODS, class_maps, enlarged, normalised, rank_correlation, scores

COLOUR = ImageSpec(size=32, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
LABELS = torch.tensor([2, 0, 1, 1])


def pixels(image: ImageSpec = IMAGE, count: int = 4) -> torch.Tensor:
    shape = (count, image.size, image.size, image.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return normalised(images, image, device=torch.device("cpu"))


def colour_net(**changes: object) -> ResNet:
    torch.manual_seed(0)
    arch = Arch(name="t", **{"block": "basic", "depths": (1, 1, 1), "widths": (8, 16, 16), "stem": "cifar", **changes})
    return build(arch, classes=3, image=COLOUR).eval()


def test_hirescam_sums_to_the_logit_minus_its_bias_at_the_last_stage() -> None:
    for net, image in ((network(), IMAGE), (colour_net(), COLOUR), (colour_net(block="preact_basic"), COLOUR)):
        found, logits = class_maps(net, pixels(image), labels=LABELS, method="hirescam")
        wanted = logits[np.arange(4), LABELS] - net.fc.bias.detach().numpy()[LABELS]
        assert found.sum(axis=(1, 2)) == pytest.approx(wanted, abs=1e-4)


def test_gradcam_at_the_last_stage_is_cam() -> None:
    net = colour_net()
    found, logits = class_maps(net, pixels(COLOUR), labels=LABELS)
    with torch.no_grad():
        features = net.features(pixels(COLOUR))["layer3"]
        cam = torch.einsum("nc,nchw->nhw", net.fc.weight[LABELS], features).relu() / features[0, 0].numel()
        assert logits == pytest.approx(net(pixels(COLOUR)).numpy(), abs=1e-5)
    assert found == pytest.approx(cam.numpy(), abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stage", ["layer1", "layer2", "layer3"])
def test_a_map_does_not_depend_on_the_batch(method: maps.Method, stage: str) -> None:
    net = colour_net()
    whole, _ = class_maps(net, pixels(COLOUR), labels=LABELS, method=method, stage=stage)
    assert whole.shape[1:] == {"layer1": (32, 32), "layer2": (16, 16), "layer3": (8, 8)}[stage]
    alone, _ = class_maps(net, pixels(COLOUR)[1:2], labels=LABELS[1:2], method=method, stage=stage)
    assert alone[0] == pytest.approx(whole[1], abs=1e-6)
    if method != "hirescam":
        assert whole.min() >= 0


@pytest.mark.parametrize("stage", ["layer1", "layer2", "layer3"])
def test_gradcam_and_layercam_are_those_of_torchcam(stage: str) -> None:
    methods = pytest.importorskip("torchcam.methods", reason="torchcam is not installed")
    net = colour_net()
    for name, method in (("GradCAM", "gradcam"), ("LayerCAM", "layercam")):
        for row, label in enumerate(LABELS.tolist()):
            with getattr(methods, name)(net, target_layer=stage) as extractor:
                logits = net(pixels(COLOUR)[row : row + 1].requires_grad_())
                wanted = extractor(label, logits, normalized=False)[0][0].detach().numpy()
            found, _ = class_maps(
                net, pixels(COLOUR)[row : row + 1], labels=LABELS[row : row + 1], method=method, stage=stage
            )
            assert found[0] == pytest.approx(np.maximum(wanted, 0), abs=1e-4 * max(1.0, wanted.max()))


@pytest.mark.parametrize("block", [name for name in registry.names("block") if ":" not in name])
def test_every_block_has_exact_maps(block: str) -> None:
    try:
        net = colour_net(block=block)
    except ValueError as error:  # a block that needs other widths
        pytest.skip(str(error))
    whole, logits = class_maps(net, pixels(COLOUR), labels=LABELS, method="hirescam")
    wanted = logits[np.arange(4), LABELS] - net.fc.bias.detach().numpy()[LABELS]
    assert whole.sum(axis=(1, 2)) == pytest.approx(wanted, abs=1e-4)
    methods = pytest.importorskip("torchcam.methods", reason="torchcam is not installed")
    for stage in ("layer1", "layer2") if block.startswith("preact") else ("layer1", "layer2", "layer3"):
        # the last stage of a pre-activation network ends after the last norm, which torchcam does not hook
        with methods.GradCAM(net, target_layer=stage) as extractor:
            outputs = net(pixels(COLOUR).requires_grad_())
            theirs = extractor(LABELS.tolist(), outputs, normalized=False)[0].detach().numpy()
        found, _ = class_maps(net, pixels(COLOUR), labels=LABELS, stage=stage)
        assert found == pytest.approx(np.maximum(theirs, 0), abs=1e-4 * max(1.0, theirs.max()))


def test_enlarged_maps_are_shares_of_the_largest_value() -> None:
    small = np.zeros((2, 4, 4), np.float32)
    small[0, 1, 2], small[0, 3, 3] = 8, -3
    wide = enlarged(small, 16)
    assert wide.shape == (2, 16, 16)
    assert (wide[0].max(), wide[0].min(), wide[1].max()) == (1, 0, 0)
    assert np.unravel_index(wide[0].argmax(), (16, 16))[0] // 4 == 1


def test_rank_correlation_is_that_of_scipy() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        one, other = draw.integers(0, 6, (2, 5, 5)).astype(np.float32)
        assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(one, np.ones_like(one)) == 0


def test_a_map_of_the_decisive_pixels_scores_better_than_others() -> None:
    """A network that looks at the upper left quarter only."""
    net = colour_net()
    net.forward = (
        lambda images: torch.stack(  # type: ignore[method-assign]
            [images[:, :, :8, :8].std((1, 2, 3)) * 9, torch.zeros(len(images)), torch.zeros(len(images))], dim=1
        )
    )
    right, wrong = np.zeros((2, 4, 8, 8), np.float32)
    right[:, :2, :2], wrong[:, 6:, 6:] = 1, 1
    labels = torch.zeros(4, dtype=torch.int64)
    for good, bad in zip(
        scores(net, pixels(COLOUR), labels=labels, maps=right),
        scores(net, pixels(COLOUR), labels=labels, maps=wrong),
        strict=True,
    ):
        assert good.insertion > bad.insertion
        assert good.deletion < bad.deletion


def test_a_random_head_changes_the_map_and_not_the_network() -> None:
    net = colour_net()
    before = net.fc.weight.detach().clone()
    found, _ = class_maps(net, pixels(COLOUR), labels=LABELS)
    judged = scores(net, pixels(COLOUR), labels=LABELS, maps=found)
    assert torch.equal(net.fc.weight, before)
    assert all(-1 <= item.random_head < 0.999 for item in judged)
    assert all(0 <= item.deletion <= 1 and 0 <= item.insertion <= 1 for item in judged)


@pytest.mark.parametrize("method", METHODS)
def test_maps_need_no_gradient_around_them_and_leave_none_behind(method: maps.Method) -> None:
    net = colour_net()
    with torch.no_grad():
        inside, logits = class_maps(net, pixels(COLOUR), labels=LABELS, method=method)
    outside, _ = class_maps(net, pixels(COLOUR), labels=LABELS, method=method)
    assert np.array_equal(inside, outside)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert logits.shape == (4, 3)


def test_a_class_has_a_map_of_its_own() -> None:
    one, other = (
        class_maps(colour_net(), pixels(COLOUR), labels=torch.full((4,), label), method="hirescam")[0]
        for label in (0, 2)
    )
    assert np.abs(one - other).max() > 1e-3


def test_a_constant_map_scores_without_dividing_by_nothing() -> None:
    judged = scores(colour_net(), pixels(COLOUR), labels=LABELS, maps=np.zeros((4, 8, 8), np.float32))
    assert [item.random_head for item in judged] == [0, 0, 0, 0]
    assert all(0 < item.insertion < 1 for item in judged)


def test_a_blurred_image_has_colours_and_no_shapes() -> None:
    flat = torch.full((1, 3, 16, 16), 0.3)
    assert maps._blurred(flat) == pytest.approx(flat, abs=1e-6)
    assert maps._blurred(pixels(COLOUR)).std() < 0.3 * pixels(COLOUR).std()


def test_reversed_maps_have_the_opposite_rank_correlation() -> None:
    draw = np.random.default_rng(1).random((6, 6)).astype(np.float32)
    assert rank_correlation(draw, draw) == pytest.approx(1)
    assert rank_correlation(draw, -draw) == pytest.approx(-1)
    assert rank_correlation(draw, np.exp(draw)) == pytest.approx(1)
