"""The loader equals slow references: images per step, their pixels, and inputs that stay unchanged."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.numbered import stored
from support.trained import make_store

from resnetctl.data import loader
from resnetctl.data.images import with_channels
from resnetctl.data.splits import open_sets
from resnetctl.data.store import build, open_store
from resnetctl.errors import DataError
from resnetctl.spec import Boxes, DatasetCard, ImageSpec

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Images:
    """The parts of an `ImageSet` that the loader uses."""

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    truth = vectors = None

    def __len__(self) -> int:
        return len(self.index)

    def check(self, rows: np.ndarray) -> None:
        """Do nothing: these images are not from a store."""


def make(count: int = 10, side: int = 8, channels: int = 3, *, index: list[int] | None = None) -> Images:
    random = np.random.default_rng(0)
    return Images(
        images=random.integers(0, 256, (count, side, side, channels), dtype=np.uint8),
        labels=random.integers(0, 5, count),
        index=np.arange(count) if index is None else np.array(index, dtype=np.int64),
    )


def spec(size: int = 8, channels: int = 3, **more: object) -> ImageSpec:
    return ImageSpec(size=size, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels, **more)


# ---- the images of a step


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_an_epoch_trains_on_every_image_but_a_lone_last_one(batch_size: int) -> None:
    for count in range(2, 2 * batch_size + 2):
        order = loader.epoch_order(count, 0, epoch=0)
        steps = loader.steps_per_epoch(count, batch_size)
        batches = [loader.batch_rows(order, step, batch_size=batch_size).tolist() for step in range(steps)]
        trained_rows = [row for rows in batches for row in rows]
        lone = batch_size > 1 and count % batch_size == 1
        assert trained_rows == order.tolist()[: count - lone]
        assert all(len(rows) == batch_size for rows in batches[:-1])
        assert 1 <= len(batches[-1]) <= batch_size
        assert batch_size == 1 or len(batches[-1]) > 1


@pytest.mark.parametrize(
    ("count", "batch_size", "steps"), [(2, 8, 1), (8, 8, 1), (9, 8, 1), (10, 8, 2), (16, 8, 2), (17, 8, 2), (18, 8, 3)]
)
def test_steps_per_epoch_follows_the_tail_rule(count: int, batch_size: int, steps: int) -> None:
    assert loader.steps_per_epoch(count, batch_size) == steps


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_cannot_be_trained_on(count: int) -> None:
    with pytest.raises(DataError, match="at least 2 images"):
        loader.steps_per_epoch(count, 4)


@pytest.mark.parametrize("step", [-1, 2])
def test_a_step_outside_the_epoch_fails_an_assertion(step: int) -> None:
    with pytest.raises(AssertionError):
        loader.batch_rows(torch.arange(9), step, batch_size=4)


@given(st.integers(2, 300), st.integers(0, 2**63 - 1), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch(count: int, seed: int, epoch: int) -> None:
    before = torch.random.get_rng_state()
    order = loader.epoch_order(count, seed, epoch=epoch)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, loader.epoch_order(count, seed, epoch=epoch))
    assert torch.equal(before, torch.random.get_rng_state())  # it does not use the global generator


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = [loader.epoch_order(100, seed, epoch=epoch).tolist() for seed in range(4) for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 16


# ---- the content of a batch


def test_val_is_held_on_an_accelerator_that_it_fits_into(monkeypatch: pytest.MonkeyPatch) -> None:
    _, val, _ = open_sets(make_store(), val_fraction=0.5, seed=0)
    assert val is not None
    meta, image = torch.device("meta"), ImageSpec(size=4, channels=1, mean=(0.5,), std=(0.25,))
    held = loader.hold(val, image, device=meta)
    assert held is not None
    assert (held.shape, held.device.type, held.dtype) == ((len(val), 4, 4, image.channels), "meta", torch.uint8)
    assert loader.hold(val, image, device=torch.device("cpu")) is None
    monkeypatch.setattr(loader, "RESIDENT_BYTES", 10)
    assert loader.hold(val, image, device=meta) is None


def test_images_are_fetched_ahead_from_the_place_at_which_an_epoch_goes_on() -> None:
    feed = loader.Feed(make(index=[9, 2, 5, 7]), spec(), CPU)
    expected: list[list[int]] = []
    feed._expect = lambda rows: expected.append(rows.tolist())  # type: ignore[assignment]
    order = torch.tensor([3, 0, 2, 1])
    assert feed.placed(order).tolist() == feed.placed(order, start=2).tolist() == [3, 0, 2, 1]
    assert expected == [[7, 9, 5, 2], [5, 2]]


def test_values_go_to_cuda_pinned_in_a_stream_of_their_own_that_the_step_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[object] = []

    class Moved:
        def record_stream(self, stream: object) -> None:
            calls.append(("its memory is kept for", stream))

    class Steps:
        def wait_stream(self, stream: object) -> None:
            calls.append(("the step waits for", stream))

    @contextmanager
    def within(stream: object) -> Iterator[None]:
        calls.append(("begin", stream))
        yield
        calls.append(("end", stream))

    steps = Steps()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: "copies")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: steps)
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: (calls.append("pinned"), self)[1])
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device, non_blocking: (calls.append(non_blocking), Moved())[1])
    loader._copies.cache_clear()
    assert isinstance(loader._sent(torch.zeros(3), torch.device("cuda")), Moved)
    loader._copies.cache_clear()
    assert calls == [
        ("begin", "copies"), "pinned", True, ("end", "copies"),
        ("the step waits for", "copies"), ("its memory is kept for", steps),
    ]  # fmt: skip


def on_cuda(monkeypatch: pytest.MonkeyPatch, images: object, log: list[object], *, resident: bool) -> loader.Feed:
    """Return a feed that takes the CPU for a CUDA device, and logs its events and its copies."""

    class Event:
        def __init__(self, *, blocking: bool) -> None:
            assert blocking
            self.number = len([entry for entry in log if entry[0] == "begun"])  # type: ignore[index]

        def record(self, stream: str) -> None:
            log.append(("begun", self.number, stream))

        def synchronize(self) -> None:
            log.append(("waited", self.number))

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "steps")
    monkeypatch.setattr(loader, "_sent", lambda values, device: (log.append(("sent", device.type)), values)[1])
    monkeypatch.setattr(loader, "fits", lambda images, device: resident)
    move = torch.Tensor.to
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, where: move(self, "cpu") if torch.device(where).type == "cuda" else self
    )
    return loader.Feed(images, spec(), torch.device("cuda"))  # type: ignore[arg-type]


def test_the_cpu_is_at_most_three_batches_ahead_of_a_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[object, ...]] = []
    feed = on_cuda(monkeypatch, make(), log, resident=False)  # type: ignore[arg-type]
    for step in range(6):
        feed.batch(torch.arange(4), epoch=0, step=step)
    events = [entry[:2] for entry in log if entry[0] != "sent"]
    assert events == [
        ("begun", 0), ("begun", 1), ("begun", 2), ("waited", 0), ("begun", 3), ("waited", 1), ("begun", 4),
        ("waited", 2), ("begun", 5),
    ]  # fmt: skip
    assert {entry[2] for entry in log if entry[0] == "begun"} == {"steps"}


def test_batches_that_lie_on_a_cuda_device_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[object, ...]] = []
    feed = on_cuda(monkeypatch, make(), log, resident=True)  # type: ignore[arg-type]
    for step in range(6):
        feed.batch(torch.arange(4), epoch=0, step=step)
    assert {entry[0] for entry in log} == {"sent"}, "no event is recorded: a graph may hold this work"


def test_truth_of_images_on_a_cuda_device_never_reads_their_rows_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = Boxes(offsets=torch.arange(11), boxes=torch.arange(40).view(10, 4).float(), labels=torch.arange(10))
    images, log = make(), []
    monkeypatch.setattr(Images, "truth", SimpleNamespace(tensors=lambda: truth))
    feed = on_cuda(monkeypatch, images, log, resident=True)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: pytest.fail("it waits for the device"))
    order = feed.placed(torch.tensor([4, 1, 7]))
    batch = feed.batch(order, epoch=0, step=0)
    assert isinstance(batch.truth, Boxes)
    assert batch.truth.labels.tolist() == batch.index.tolist() == [4, 1, 7]
    assert torch.equal(batch.images, torch.from_numpy(images.images[[4, 1, 7]]).permute(0, 3, 1, 2))
    copies = [entry for entry in log if entry == ("sent", "cuda")]
    assert len(copies) >= 4, "the rows, and each tensor of the truth"


def test_values_go_to_other_devices_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are waited for: pytorch's issue 189690 shows wrong numbers on mps without."""
    move, calls = torch.Tensor.to, []
    monkeypatch.setattr(torch.Tensor, "to", lambda *args, **named: (calls.append(named), move(*args, **named))[1])
    assert loader._sent(torch.zeros(3), torch.device("meta")).device.type == "meta"
    assert calls == [{}]
    here = torch.zeros(3)
    assert loader._sent(here, CPU) is here


def test_a_batch_holds_the_rows_of_the_set_in_order() -> None:
    images = make(index=[9, 2, 5, 7])
    batch = loader.Feed(images, spec(), CPU).batch(torch.tensor([3, 0, 2]), epoch=4, step=17)
    assert batch.index.tolist() == [7, 9, 5]
    assert batch.targets.tolist() == images.labels[[7, 9, 5]].tolist()
    assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), images.images[[7, 9, 5]])
    assert (batch.epoch, batch.step) == (4, 17)
    assert (batch.images.dtype, batch.targets.dtype, batch.index.dtype) == (torch.uint8, torch.int64, torch.int64)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("side", [8, 12])
def test_batches_have_channels_last_strides(channels: int, side: int) -> None:
    batch = loader.Feed(make(side=side, channels=channels), spec(channels=channels), CPU)
    images = batch.batch(torch.arange(4), epoch=0, step=0).images
    assert images.shape == (4, channels, 8, 8)
    assert images.is_contiguous(memory_format=torch.channels_last)
    if channels > 1:
        assert not images.is_contiguous()


def test_a_batch_is_a_copy(tmp_path: Path) -> None:
    stored = np.memmap(tmp_path / "images", dtype=np.uint8, mode="w+", shape=(6, 8, 8, 3))
    stored[:] = 7
    stored.flush()
    mapped = np.memmap(tmp_path / "images", dtype=np.uint8, mode="c", shape=(6, 8, 8, 3))
    feed = loader.Feed(Images(mapped, np.zeros(6, np.int64), np.arange(6)), spec(), CPU)
    feed.batch(torch.arange(6), epoch=0, step=0).images.fill_(99)
    assert feed.batch(torch.arange(6), epoch=0, step=0).images.unique().tolist() == [7]
    assert set((tmp_path / "images").read_bytes()) == {7}
    assert len(feed) == 6


def test_batches_for_policies_have_the_resize_side() -> None:
    feed = loader.Feed(make(side=20), spec(size=8, resize=12), CPU)
    assert feed.batch(torch.arange(2), epoch=0, step=0).images.shape == (2, 3, 12, 12)


def test_images_of_the_right_side_are_not_resized() -> None:
    images = make(side=12)
    batch = loader.Feed(images, spec(size=8, resize=12), CPU).batch(torch.arange(10), epoch=0, step=0)
    assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), images.images)


# ---- channels


def test_colour_becomes_grey_as_in_pillow() -> None:
    images = make(10, 16)
    grey = loader.Feed(images, spec(16, channels=1), CPU).batch(torch.arange(10), epoch=0, step=0).images
    for image, mine in zip(images.images, grey, strict=True):
        assert np.array_equal(np.array(Image.fromarray(image).convert("L")), mine[0].numpy())
    assert grey.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_grey_becomes_any_number_of_channels_by_repeating(channels: int) -> None:
    images = make(channels=1)
    out = loader.Feed(images, spec(channels=channels), CPU).batch(torch.arange(10), epoch=0, step=0).images
    assert out.shape == (10, channels, 8, 8)
    assert all(np.array_equal(plane.numpy(), images.images[..., 0]) for plane in out.unbind(1))
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("stored", "wanted"), [(3, 1), (1, 3), (1, 4)])
def test_training_and_evaluation_convert_channels_alike(stored: int, wanted: int) -> None:
    images = make(channels=stored)
    ours = loader.Feed(images, spec(channels=wanted), CPU).batch(torch.arange(10), epoch=0, step=0).images
    assert np.array_equal(ours.permute(0, 2, 3, 1).numpy(), with_channels(images.images, wanted))


@pytest.mark.parametrize(("stored", "wanted"), [(3, 4), (2, 1), (2, 3), (4, 3)])
def test_other_channel_counts_are_refused(stored: int, wanted: int) -> None:
    with pytest.raises(DataError, match=f"{stored} channels cannot be used by a model for {wanted}"):
        loader.Feed(make(channels=stored), spec(channels=wanted), CPU)


# ---- on a real store


def test_an_epoch_trains_on_every_train_image_once(tmp_path: Path) -> None:
    stored = make(50, 8)
    draft = DatasetCard(name="d", classes=tuple("abcde"), image=ImageSpec(size=8), splits={})
    with build(tmp_path, "d", draft=draft) as builder:
        for number, (image, label) in enumerate(zip(stored.images, stored.labels, strict=True)):
            builder.add("train", image, label="abcde"[label], name=f"{number}.png", sha256="")
    train, val, _ = open_sets(open_store(tmp_path, "d"), val_fraction=0.2, seed=0)
    feed = loader.Feed(train, spec(), CPU)
    order = loader.epoch_order(len(feed), 3, epoch=1)
    trained_rows: list[int] = []
    for step in range(loader.steps_per_epoch(len(feed), 8)):
        batch = feed.batch(loader.batch_rows(order, step, batch_size=8), epoch=1, step=step)
        assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), stored.images[batch.index])
        assert batch.targets.tolist() == stored.labels[batch.index].tolist()
        trained_rows += batch.index.tolist()
    assert val is not None
    assert sorted([*trained_rows, *val.index.tolist()]) == list(range(50))


def test_a_balanced_order_has_equally_many_of_each_class_and_repeats_evenly() -> None:
    labels = torch.tensor([0] * 50 + [1] * 7 + [2] * 3)
    order = loader.balanced_order(labels, len(labels), seed=3, epoch=1)
    assert labels[order].bincount().tolist() == [20, 20, 20]
    times = order.bincount(minlength=60)
    assert times[:50].max() == 1
    assert set(times[50:57].tolist()) == {2, 3}
    assert set(times[57:].tolist()) == {6, 7}
    assert torch.equal(order, loader.balanced_order(labels, len(labels), seed=3, epoch=1))
    assert not torch.equal(order, loader.balanced_order(labels, len(labels), seed=3, epoch=2))
    assert not torch.equal(order, loader.balanced_order(labels, len(labels), seed=4, epoch=1))


def test_the_rest_of_a_balanced_order_goes_to_other_classes_each_epoch() -> None:
    labels = torch.arange(10) % 4
    counts = [labels[loader.balanced_order(labels, 10, seed=0, epoch=epoch)].bincount() for epoch in range(8)]
    assert all(sorted(count.tolist()) == [2, 2, 3, 3] for count in counts)
    assert len({tuple(count.tolist()) for count in counts}) > 1


def test_pixels_take_a_share_of_a_cuda_device_and_files_are_decoded_up_to_a_fixed_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000, 2_000))
    monkeypatch.setattr(loader, "RESIDENT_BYTES", 500)
    for count, on_cuda in ((400, True), (401, False)):
        pixels = np.zeros(count, np.uint8)
        assert loader.fits(pixels, torch.device("cuda")) is on_cuda
        assert loader.fits(SimpleNamespace(nbytes=count), torch.device("cuda"))  # type: ignore[arg-type]
        assert loader.fits(pixels, torch.device("mps"))
        assert not loader.fits(pixels, torch.device("cpu"))


def test_a_batch_has_the_standardised_numbers_of_its_images_only_if_the_network_reads_them(tmp_path: Path) -> None:
    store = stored(tmp_path)
    train, _, _ = open_sets(store, val_fraction=0, seed=0)
    feed = loader.Feed(train, store.card.image, torch.device("cpu"), vector=store.card.vector)
    whole = feed.batch(torch.arange(len(train)), epoch=0, step=0).vectors
    assert whole is not None
    torch.testing.assert_close(whole.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(whole.std(0, correction=0), torch.tensor([1.0, 0.0, 1.0]), atol=1e-4, rtol=0)
    rows = torch.tensor([5, 2])
    some = feed.batch(rows, epoch=0, step=0).vectors
    assert some is not None
    assert torch.equal(some, whole[rows])
    assert loader.Feed(train, store.card.image, torch.device("cpu")).batch(rows, epoch=0, step=0).vectors is None
