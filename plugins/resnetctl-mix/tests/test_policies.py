"""Each policy keeps the rules for policies, and its images are on average like torchvision's."""

from importlib.metadata import entry_points

import pytest
import torch
from resnetctl_mix import policies, spaces
from torchvision.transforms import v2

from resnetctl.spec import Batch, ImageSpec, Policy

ALL = {
    policy.name: policy
    for policy in (
        policies.mixup,
        policies.cutmix,
        policies.mixup_cutmix,
        policies.randaugment,
        policies.trivialaugment,
        policies.autoaugment_cifar,
        policies.color_jitter,
        policies.erasing,
    )
}
CLASSES = 7


def spec(size: int, channels: int, resize: int = 0) -> ImageSpec:
    return ImageSpec(size=size, channels=channels, mean=(0.4,) * channels, std=(0.2,) * channels, resize=resize)


def make(image: ImageSpec, count: int = 50) -> Batch:
    generator = torch.Generator().manual_seed(8)
    shape = (count, image.resize, image.resize, image.channels)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    index = torch.arange(count)
    return Batch(images=pixels.permute(0, 3, 1, 2), targets=index % CLASSES, index=index * 2, epoch=3, step=9)


def run(policy: Policy, batch: Batch, image: ImageSpec, seed: int = 1) -> Batch:
    torch.manual_seed(seed)
    return policy.build(image, CLASSES)(batch)


@pytest.mark.parametrize(("size", "channels", "resize"), [(8, 1, 8), (32, 3, 32), (33, 3, 33), (24, 3, 32), (2, 3, 2)])
@pytest.mark.parametrize("name", ALL)
def test_shapes_types_and_input_are_kept(name: str, size: int, channels: int, resize: int) -> None:
    image = spec(size, channels, resize)
    batch = make(image)
    before = batch.images.clone()
    out = run(ALL[name], batch, image)
    mixes = "mix" in name
    assert out.images.shape == (50, channels, size, size)
    assert out.images.dtype == (torch.float32 if "mixup" in name else torch.uint8)
    assert 0 <= float(out.images.min()) <= float(out.images.max()) <= 255
    assert out.images.stride() == (size * size * channels, 1, size * channels, channels)
    assert out.targets.shape == ((50, CLASSES) if mixes else (50,))
    assert mixes or torch.equal(out.targets, batch.targets)
    assert torch.equal(batch.images, before)
    assert torch.equal(batch.targets, torch.arange(50) % CLASSES)
    assert torch.equal(out.index, batch.index)
    assert (out.epoch, out.step) == (3, 9)


@pytest.mark.parametrize("name", ALL)
def test_the_seed_decides_the_result(name: str) -> None:
    image = spec(16, 3)
    batch = make(image)
    first = run(ALL[name], batch, image, seed=5).images
    assert torch.equal(first, run(ALL[name], batch, image, seed=5).images)
    assert not torch.equal(first, run(ALL[name], batch, image, seed=6).images)


@pytest.mark.parametrize("name", ALL)
def test_every_policy_is_registered_with_summary_and_paper(name: str) -> None:
    (entry,) = (point for point in entry_points(group="resnetctl.policies") if point.name == name)
    assert entry.dist is not None
    assert entry.dist.name == "resnetctl-mix"
    policy = entry.load()
    assert policy is ALL[name]
    assert policy.summary.startswith("standard, then ")
    assert "arXiv" in policy.paper


@pytest.mark.parametrize("name", ALL)
def test_the_unmirrored_builder_never_mirrors(name: str) -> None:
    policy = ALL[name]
    assert policy.mirrors
    assert policy.unmirrored is not None
    ramp = (torch.arange(32, dtype=torch.uint8) * 7).expand(200, 3, 32, 32)
    batch = Batch(images=ramp, targets=torch.zeros(200, dtype=torch.int64), index=torch.arange(200), epoch=0, step=0)
    for build, few in ((policy.unmirrored, 20), (policy.build, 140)):
        torch.manual_seed(0)
        row = build(spec(32, 3), CLASSES)(batch).images[:, 0, 16].float()
        falling = int((row[:, 10:16].mean(1) > row[:, 16:22].mean(1)).sum())
        assert (falling < 60) == (few == 20), (falling, few)  # some are inverted or rotated; if mirrored, it is half


@pytest.mark.parametrize("name", ["randaugment", "trivialaugment", "autoaugment-cifar", "color-jitter"])
def test_images_with_two_channels_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        ALL[name].build(spec(8, 2), CLASSES)


@pytest.mark.parametrize(
    ("plans", "transform"),
    [(spaces.randaugment_plans, v2.RandAugment), (spaces.trivialaugment_plans, v2.TrivialAugmentWide)],
)
def test_images_are_on_average_like_torchvisions(plans: policies.Plans, transform: type) -> None:
    """Compare brightness, contrast and blackness of 1,000 images; test_ops compares operations pixel by pixel."""
    torch.manual_seed(2)
    grain = torch.randint(0, 256, (1000, 3, 4, 4), dtype=torch.uint8)
    ours = images = v2.functional.resize(grain, [32, 32]).contiguous(memory_format=torch.channels_last)
    for kinds, values in spaces.tabulate(plans(32), 32, device=torch.device("cpu")).draw(1000):
        ours = policies.apply(ours, kinds, values)
    theirs = torch.stack([transform()(image) for image in images])
    for statistic in (torch.mean, torch.std, lambda pixels, _: (pixels == 0).float().mean((1, 2, 3))):
        first, second = statistic(ours.float(), (1, 2, 3)), statistic(theirs.float(), (1, 2, 3))
        noise = float(((first.var() + second.var()) / 1000).sqrt())
        assert abs(float(first.mean() - second.mean())) < 4 * noise


def built(policy: Policy, image: ImageSpec, batch: Batch, **arguments: float) -> Batch:
    torch.manual_seed(3)
    return policy.unmirrored(image, CLASSES, **arguments)(batch)  # type: ignore[misc]


@pytest.mark.parametrize("alpha", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("name", ["mixup", "cutmix", "mixup+cutmix"])
def test_alpha_is_that_of_the_beta_distribution(name: str, alpha: float) -> None:
    image = spec(32, 3)
    batch = make(image, count=2000)
    shares = built(ALL[name], image, batch, alpha=alpha).targets.amax(1)
    # a small alpha leaves many images as they are, a large one nearly none
    kept = float((shares > 0.95).float().mean())
    low, high = {0.1: (0.35, 1.0), 1.0: (0.03, 0.3), 8.0: (0.0, 0.02)}[alpha]
    assert low <= kept <= high


def test_the_default_alpha_draws_as_before() -> None:
    image = spec(16, 3)
    batch = make(image)
    assert torch.equal(
        built(policies.mixup, image, batch).images, built(policies.mixup, image, batch, alpha=1.0).images
    )


def test_jitter_changes_brightness_within_its_range() -> None:
    image = spec(16, 3)
    grey = torch.full((50, 16, 16, 3), 100, dtype=torch.uint8).permute(0, 3, 1, 2)
    batch = make(image)
    batch = Batch(images=grey, targets=batch.targets, index=batch.index, epoch=0, step=0)
    middle = built(policies.color_jitter, image, batch, brightness=0.3, contrast=0, saturation=0).images[:, :, 8, 8]
    assert 70 <= int(middle.min()) < 85
    assert 115 < int(middle.max()) <= 130
    still = built(policies.color_jitter, image, batch, brightness=0, contrast=0, saturation=0).images
    assert set(still[:, :, 8, 8].flatten().tolist()) == {100}


def test_erasing_hides_boxes_of_the_asked_area_in_the_asked_share_of_images() -> None:
    image = spec(32, 3)
    white = torch.full((1000, 32, 32, 3), 255, dtype=torch.uint8).permute(0, 3, 1, 2)
    source = make(image, count=1000)
    batch = Batch(images=white, targets=source.targets, index=source.index, epoch=0, step=0)
    arguments = {"probability": 0.5, "smallest": 0.1, "largest": 0.2, "ratio": 2.0}
    images = built(policies.erasing, image, batch, **arguments).images
    hidden = (images == round(255 * 0.4)).all(1).flatten(1).float().mean(1)
    assert 0.44 < float((hidden > 0).float().mean()) < 0.56
    assert 0.08 < float(hidden[hidden > 0].min()) <= float(hidden.max()) < 0.23
    assert not (built(policies.erasing, image, batch, probability=0.0).images == round(255 * 0.4)).all(1).any()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mixup", {"alpha": 0.0}),
        ("color-jitter", {"contrast": 1.5}),
        ("erasing", {"probability": 2.0}),
        ("erasing", {"smallest": 0.5, "largest": 0.1}),
        ("erasing", {"ratio": 0.5}),
    ],
)
def test_impossible_arguments_are_refused(name: str, arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not"):
        ALL[name].build(spec(16, 3), CLASSES, **arguments)
