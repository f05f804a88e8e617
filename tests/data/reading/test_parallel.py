"""Decoding gives the same outcomes with and without workers, and only large sources get workers."""

import struct
import zlib
from concurrent.futures import Future
from contextlib import closing, nullcontext
from dataclasses import astuple, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import encode, grey, solid, tree, write_tar, write_tree

from resnetctl.data.images import fit, prepare
from resnetctl.data.reading import parallel
from resnetctl.data.reading.decode import BadImage, read_image
from resnetctl.data.reading.parallel import Decoded, Square, decode, decoded, worker_count, workers
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.reading.source import Item, Source
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import ImageSpec
from resnetctl.system.processes import Workers

SQUARE = Square(channels=3, resize=8, fit="crop")


def wide(mode: str, size: tuple[int, int] = (20, 12)) -> Image.Image:
    pixels = np.random.default_rng(len(mode)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def bomb() -> bytes:
    """Return a PNG that claims 65,000 x 65,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 65_000, 65_000, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def odd() -> dict[str, bytes]:
    """Return images of every kind that is decoded differently, and some files that are not images."""
    frames = [Image.new("RGB", (12, 12), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "a/rgb.png": encode(wide("RGB")),
        "a/grey.png": encode(wide("L")),
        "a/bits.png": encode(wide("1")),
        "a/palette.png": encode(wide("P")),
        "a/alpha.png": encode(wide("RGBA")),
        "a/deep.png": encode(Image.fromarray(np.arange(240, dtype=np.uint16).reshape(12, 20) * 256)),
        "a/cmyk.jpg": encode(wide("CMYK"), "JPEG"),
        "a/turned.jpg": encode(wide("RGB"), "JPEG", exif=turned),
        "a/moving.gif": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "a/scan.tif": encode(wide("RGB"), "TIFF"),
        "a/small.bmp": encode(wide("RGB", (8, 8)), "BMP"),
        "b/bomb.png": bomb(),
        "b/cut.jpg": encode(wide("RGB", (64, 64)), "JPEG")[:200],
        "b/empty.png": b"",
        "b/float.tif": encode(Image.new("F", (2, 2)), "TIFF"),
        "b/text.jpg": b"no image",
    }


def test_decode_returns_pixels_size_colour_and_digest() -> None:
    data = encode(wide("RGB"))
    outcome = decode(data, "x.png", into=SQUARE)
    assert isinstance(outcome, Decoded)
    assert (outcome.pixels == fit(read_image(data, 3), resize=8)).all()
    assert outcome[1:] == ((20, 12), True, False, sha256(data).hexdigest(), b"")
    assert decode(data, "x.png", into=replace(SQUARE, has_data=True))[-1] == data  # type: ignore[index]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", [(20, 12), (12, 20), (8, 8), (3, 5)])
def test_decoded_pixels_equal_those_of_fit(mode: str, channels: int, how: str, size: tuple[int, int]) -> None:
    data = encode(wide(mode, size))
    into = Square(channels=channels, resize=8, fit=how)  # type: ignore[arg-type]
    outcome = decode(data, "x", into=into)
    assert isinstance(outcome, Decoded)
    assert (outcome.pixels == fit(read_image(data, channels), resize=8, fit=into.fit)).all()
    assert (outcome.pixels.shape, outcome.has_colour) == ((8, 8, channels), mode == "RGB")


def test_decode_returns_the_error_of_a_file_that_is_not_an_image() -> None:
    outcome = decode(b"?", "a/x.png", into=SQUARE)
    assert isinstance(outcome, BadImage)
    assert str(outcome).endswith("(a/x.png)")


def plain(outcome: Decoded | BadImage) -> object:
    return str(outcome) if isinstance(outcome, BadImage) else (outcome.pixels.tolist(), *outcome[1:])


def outcomes(source: Source, by: Workers | None, into: Square = SQUARE) -> list[object]:
    with closing(source.items()) as items:
        return [(item.name, plain(outcome)) for item, outcome in decoded(items, into, by=by)]


@pytest.mark.parametrize("images", [1, 3, 256])
@pytest.mark.parametrize("packed", [False, True])
def test_workers_give_the_same_outcomes_as_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, images: int
) -> None:
    files = odd()
    source = open_source(write_tar(tmp_path / "a.tar", files) if packed else write_tree(tmp_path / "p", files))
    if not packed:
        (tmp_path / "p/a/rgb.png").unlink()  # the error of an unreadable file differs between readers
    monkeypatch.setattr(parallel, "CHUNK_IMAGES", images)
    with Workers(2, serve="resnetctl.data.reading.parallel:answer") as by:
        for into in (SQUARE, Square(channels=1, resize=30, fit="pad")):
            by_workers = outcomes(source, by, into)
            assert by_workers == outcomes(source, None, into)
            assert len(by_workers) == len(files) - (not packed)


def test_a_large_image_is_the_only_one_in_its_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(write_tree(tmp_path / "p", tree()))
    for limit, value in (("CHUNK_FILES", 1), ("CHUNK_PIXELS", 8 * 8 * 3)):
        with monkeypatch.context() as patch, closing(source.items()) as items:
            patch.setattr(parallel, limit, value)
            assert [len(chunk) for chunk in parallel._chunks(items, SQUARE)] == [1] * 12
    with closing(source.items()) as items:
        assert [len(chunk) for chunk in parallel._chunks(items, SQUARE)] == [12]


class Asked:
    """A fake pool that counts the requests in progress."""

    count = 2

    def __init__(self) -> None:
        self.open = self.most = 0

    def ask(self, request: object, *, where: str) -> "Asked":
        self.open += 1
        self.most = max(self.most, self.open)
        self.request = request
        return self

    def result(self) -> object:
        self.open -= 1
        return parallel.answer(self.request)


def test_only_a_few_chunks_are_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CHUNK_IMAGES", 2)
    read = 0

    def items() -> object:
        nonlocal read
        for number in range(100):
            read += 1
            yield Item(f"{number}.png", None, "a", solid)

    asked = Asked()
    ahead = []
    for done, _ in enumerate(decoded(items(), SQUARE, by=asked)):  # type: ignore[arg-type]
        ahead.append(read - done)
    assert asked.most == parallel.AHEAD * asked.count
    assert max(ahead) <= 2 * asked.most


def test_errors_of_the_source_are_raised(tmp_path: Path) -> None:
    def items() -> object:
        yield Item("1.png", None, "a", solid)
        raise DataError("the archive is damaged")

    with Workers(2, serve="resnetctl.data.reading.parallel:answer") as by, pytest.raises(DataError, match="damaged"):
        list(decoded(items(), SQUARE, by=by))  # type: ignore[arg-type]


def test_a_dead_worker_names_its_images() -> None:
    items = [Item(f"{number}.png", None, "a", solid) for number in range(5)]
    with Workers(2, serve="os:_exit") as by, pytest.raises(WorkFailed) as caught:
        list(decoded(items, SQUARE, by=by))
    assert caught.value.where == "0.png to 4.png"


@pytest.mark.parametrize(
    ("images", "megabytes", "cores", "count"),
    [
        (1797, 0.5, 8, 1),  # digits
        (100, 10, 2, 1),  # a handful of photos
        (100, 300, 2, 2),  # photos of a camera
        (400, 150, 2, 2),
        (60_000, 53, 1, 1),
        (60_000, 53, 2, 2),
        (60_000, 53, 64, 16),
        (5_000, 5, 64, 2),  # one for each 0.3 s of work
    ],
)
def test_worker_count_follows_the_rule(tmp_path: Path, images: int, megabytes: float, cores: int, count: int) -> None:
    source = Source(
        path=tmp_path,
        kind="folder",
        counts={(None, "a"): images},
        ignored={},
        size=int(megabytes * 2**20),
        listing="",
        items=lambda: (item for item in ()),
    )
    assert worker_count(source, cores) == count
    chosen = workers(source, cores)
    assert isinstance(chosen, nullcontext) if count == 1 else chosen.count == count  # type: ignore[union-attr]


def test_a_source_knows_its_size(tmp_path: Path) -> None:
    files = {"a/1.png": grey(1), "a/2.png": grey(2), "a/notes.txt": b"12345"}
    size = len(grey(1)) + len(grey(2))
    root = write_tree(tmp_path / "p", files)
    (root / "list.csv").write_text("path,label\na/1.png,x\na/2.png,x\n")
    for path in (root, write_tar(tmp_path / "a.tar", files), root / "list.csv"):
        assert open_source(path).size == size


SPECS = [
    ImageSpec(size=6, resize=8, channels=3, interpolation="bicubic"),
    ImageSpec(size=8, channels=1, mean=(0.5,), std=(0.5,), fit="pad", interpolation="lanczos"),
    ImageSpec(size=5, resize=9, channels=3, fit="squash", interpolation="nearest"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.fit)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pictures_for_a_network_are_those_of_prepare(spec: ImageSpec, mode: str) -> None:
    into = Square(
        channels=spec.channels, resize=spec.resize, fit=spec.fit, interpolation=spec.interpolation, crop=spec.size
    )
    data = encode(wide(mode))
    outcome = decode(data, "a.png", into=into)
    assert isinstance(outcome, Decoded)
    assert np.array_equal(outcome.pixels, prepare(data, spec))


@pytest.mark.parametrize("count", [1, 2])
def test_images_can_keep_their_own_size(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when an answer has no room for all of them: the process that asked decodes the rest."""
    pictures = [wide("RGB", (10 + number, 7)) for number in range(6)]
    root = write_tree(tmp_path, {f"{number}.png": encode(picture) for number, picture in enumerate(pictures)})
    (root / "9.png").write_bytes(b"no image")
    items = [Item(str(path), None, "", path) for path in sorted(root.glob("*.png"))]
    into = Square(channels=3, resize=0, fit="crop", has_digest=False)
    context = Workers(count, serve="resnetctl.data.reading.parallel:answer") if count > 1 else nullcontext()
    with context as by:
        outcomes = [outcome for _, outcome in decoded(items, into, by=by)]
    for picture, outcome in zip(pictures, outcomes[:-1], strict=True):
        assert isinstance(outcome, Decoded)
        assert np.array_equal(outcome.pixels, np.asarray(picture))
        assert outcome.sha256 == ""
    assert isinstance(outcomes[-1], BadImage)
    assert outcomes[-1].where == str(root / "9.png")


def test_an_answer_has_a_limited_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LARGEST_ANSWER", 500)
    data = [encode(wide("RGB")) for _ in range(4)]
    into = Square(channels=3, resize=0, fit="crop")
    answers = parallel.answer([astuple(into), [*data, b"no image"]])
    assert [item is None for item in answers] == [False, True, True, True, True]
    chunk = [(Item(f"{number}.png", None, "", Path()), content) for number, content in enumerate([*data, b"no image"])]
    pending: Future[list[object]] = Future()
    pending.set_result(answers)
    outcomes = [outcome for _, outcome in parallel._outcomes(chunk, pending, into)]
    assert all(np.array_equal(outcome.pixels, np.asarray(wide("RGB"))) for outcome in outcomes[:4])  # type: ignore[union-attr]
    assert isinstance(outcomes[4], BadImage)
    assert outcomes[4].where == "4.png"
