"""Odd images give exact pixels, damaged ones give errors, and one function fits all images into squares."""

import io
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.pictures import encode, grey, solid

from resnetctl.data import images
from resnetctl.data.images import (
    BadImage,
    centre_crop,
    fit,
    open_image,
    prepare,
    prepare_array,
    read_image,
    with_channels,
)
from resnetctl.errors import DataError
from resnetctl.spec import ImageSpec

LOSSLESS = ("PNG", "BMP", "TIFF", "PPM")


def pixel(data: bytes, channels: int = 3) -> list[int]:
    """Return the top left pixel."""
    return [int(value) for value in read_image(data, channels)[0, 0]]


@pytest.mark.parametrize("kind", LOSSLESS)
def test_plain_colours_are_exact(kind: str) -> None:
    pixels = read_image(encode(Image.new("RGB", (3, 2), (200, 100, 50)), kind), 3)
    assert pixels.shape == (2, 3, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == (200, 100, 50)).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_colours_are_close(kind: str) -> None:
    assert (
        np.abs(np.subtract(pixel(encode(Image.new("RGB", (16, 16), (200, 100, 50)), kind)), (200, 100, 50))).max() <= 3
    )


def test_grey_and_bilevel_have_no_colour() -> None:
    assert pixel(grey(77), 1) == [77]
    assert pixel(grey(77), 3) == [77] * 3
    assert pixel(solid(1, mode="1"), 1) == [255]
    for data in (grey(5), solid(1, mode="1"), solid((9, 128), mode="LA"), encode(Image.new("I;16", (2, 2), 512))):
        assert open_image(data, "a")[0].mode == "L"
    assert open_image(solid((5, 5, 5)), "a")[0].mode == "RGB"  # the mode of the file decides, not its pixels


def test_colour_to_grey_is_the_luma() -> None:
    assert pixel(solid((200, 100, 50)), 1) == [(200 * 19595 + 100 * 38470 + 50 * 7471 + 0x8000) >> 16]


def test_transparency_is_drawn_over_white() -> None:
    assert pixel(solid((255, 0, 0, 0), mode="RGBA")) == [255, 255, 255]
    assert pixel(solid((255, 0, 0, 255), mode="RGBA")) == [255, 0, 0]
    red, green, blue = pixel(solid((255, 0, 0, 128), mode="RGBA"))
    assert (red, green, blue) == (255, 127, 127)
    assert pixel(solid((0, 0), mode="LA"), 1) == [255]
    assert pixel(solid((0, 255), mode="LA"), 1) == [0]


def test_a_palette_is_read_with_its_transparency_as_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert read_image(encode(image), 3).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert read_image(encode(image, transparency=1), 3).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert read_image(encode(image, "GIF", transparency=1), 3).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_a_transparent_colour_of_an_rgb_png_is_white() -> None:
    assert pixel(encode(Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3))) == [255] * 3


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    options = {"quality": 100} if kind == "JPEG" else {}
    colour = pixel(encode(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), kind, **options))
    assert np.abs(np.subtract(colour, (0, 255, 255))).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_cut_not_clipped(kind: str) -> None:
    levels = (np.arange(64, dtype=np.uint16) * 1024).reshape(8, 8)
    pixels = read_image(encode(Image.fromarray(levels), kind), 1)[..., 0]
    assert (pixels == levels >> 8).all()
    assert len(np.unique(pixels)) == 64


def test_big_endian_sixteen_bits_are_cut_too() -> None:
    image = Image.frombytes("I;16B", (2, 1), np.array([0x1234, 0xFEDC], ">u2").tobytes())
    assert read_image(encode(image, "TIFF"), 1).ravel().tolist() == [0x12, 0xFE]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bits_are_refused(mode: str) -> None:
    with pytest.raises(BadImage, match="32-bit"):
        read_image(encode(Image.new(mode, (2, 2)), "TIFF"), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_rotation_is_applied(orientation: int, kind: str) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :16] = 255  # the top left quarter of a landscape image
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = read_image(encode(Image.fromarray(pixels), kind, exif=exif), 3)
    assert turned.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert (turned[row, column].mean() > 200) == ((row, column) == corner[orientation])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    image, has_more = open_image(data, "a")
    assert has_more
    assert image.getpixel((0, 0)) == (255, 0, 0)
    assert not open_image(encode(frames[0], kind), "a")[1]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes_are_read_and_fitted(size: tuple[int, int]) -> None:
    pixels = read_image(solid((1, 2, 3), size), 3)
    assert pixels.shape == (size[1], size[0], 3)
    assert fit(pixels, resize=8).tolist() == np.full((8, 8, 3), (1, 2, 3)).tolist()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and has almost no data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 5_001), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage):
        read_image(png_header(*size), 3, name="bomb.png")


BAD = {
    "empty": b"",
    "text": b"hello, I am no image",
    "html": b"<html><body>404</body></html>",
    "a header alone": png_header(8, 8),
    "half a jpeg": encode(Image.effect_noise((64, 64), 60).convert("RGB"), "JPEG")[:700],
    "half a png": encode(Image.effect_noise((64, 64), 60))[:900],
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
    "fits": b"SIMPLE  =                    T".ljust(2880),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_not_an_image_is_one_error_with_its_name(name: str) -> None:
    with pytest.raises(BadImage) as caught:
        read_image(BAD[name], 3, name="some/where.jpg")
    assert caught.value.where == "some/where.jpg"
    assert caught.value.exit_code == 3
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM"])
def test_damaged_files_load_or_are_bad_images(kind: str) -> None:
    """A changed byte may change pixels, which no test can see, but the only exception is BadImage."""
    chance = random.Random(kind)
    whole = encode(Image.effect_noise((24, 24), 80).convert("RGB"), kind)
    outcomes = set()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        try:
            pixels = read_image(bytes(data), 3)
        except BadImage:
            outcomes.add("bad")
        else:
            outcomes.add("read")
            assert pixels.shape[2] == 3
    assert "bad" in outcomes


def test_read_image_takes_a_path_a_file_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(solid())
    expected = read_image(solid(), 3)
    assert (read_image(path, 3) == expected).all()
    assert (read_image(io.BytesIO(solid()), 3) == expected).all()
    with pytest.raises(BadImage, match="No such file") as caught:
        read_image(tmp_path / "b.png", 3)
    assert caught.value.where == str(tmp_path / "b.png")


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(solid())
    monkeypatch.setattr(images, "MAX_BYTES", 10)
    with pytest.raises(BadImage, match="over"):
        read_image(path, 3)


def test_other_channel_counts_than_one_and_three_are_refused() -> None:
    with pytest.raises(BadImage, match="1 or 3"):
        read_image(solid(), 4)


@pytest.mark.parametrize("muted", [True, False])
def test_warnings_of_libtiff_are_discarded(tmp_path: Path, muted: bool) -> None:
    """Its warnings go to file descriptor 2, not to Python's stderr; without the muting they appear."""
    data = bytearray(encode(Image.effect_noise((64, 64), 60), "TIFF", compression="tiff_lzw"))
    data[len(data) // 2 - 100 : len(data) // 2] = bytes(100)
    (tmp_path / "a.tif").write_bytes(data)
    program = (
        "import contextlib, sys, pathlib\n"
        "from resnetctl.data import images\n"
        f"if not {muted}: images._muted_libtiff = contextlib.nullcontext\n"
        "try: images.read_image(pathlib.Path(sys.argv[1]), 1)\n"
        "except images.BadImage: sys.stderr.write('bad')"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.tif")], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "bad" if muted else "LZW" in done.stderr


def test_a_process_without_stderr_can_read_a_tiff(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: int) -> int:
        raise OSError("Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    assert pixel(encode(Image.new("RGB", (2, 2), (1, 2, 3)), "TIFF")) == [1, 2, 3]


def test_an_image_of_the_size_comes_back_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert fit(image, resize=8) is image


def test_crop_takes_the_middle_and_squash_everything() -> None:
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    assert (fit(image, resize=10) == 200).all()
    squashed = fit(image, resize=10, fit="squash", interpolation="nearest")[0, :, 0]
    assert squashed.tolist() == [0, 0, 0, 200, 200, 200, 200, 0, 0, 0] or (squashed == 200).sum() in (3, 4)


def test_pad_keeps_everything_on_black() -> None:
    image = np.full((10, 20, 3), 200, np.uint8)
    padded = fit(image, resize=20, fit="pad")
    assert (padded[5:15] == 200).all()
    assert not padded[:5].any()
    assert not padded[15:].any()


def test_a_thin_image_is_padded_to_at_least_a_line() -> None:
    assert fit(np.full((1, 1000, 3), 9, np.uint8), resize=8, fit="pad").max() == 9


def test_shrinking_is_antialiased() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    small = fit(board.astype(np.uint8)[..., None], resize=8)
    assert np.abs(small.astype(int) - 127).max() <= 3


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 2, 3, 4]),
    kind=st.sampled_from(["crop", "pad", "squash"]),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
)
def test_fit_returns_a_square_within_the_range_of_the_image(
    height: int, width: int, channels: int, kind: str, interpolation: str
) -> None:
    image = np.full((height, width, channels), 100, np.uint8)
    square = fit(image, resize=12, fit=kind, interpolation=interpolation)
    assert square.shape == (12, 12, channels)
    assert square.dtype == np.uint8
    assert set(np.unique(square)) <= {0, 99, 100, 101}
    assert 100 in square


def test_channels_are_resized_alike() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 14, 5), dtype=np.uint8)
    resized = fit(image, resize=6)
    assert (resized[..., :3] == fit(np.ascontiguousarray(image[..., :3]), resize=6)).all()
    assert (resized[..., 4:] == fit(np.ascontiguousarray(image[..., 4:]), resize=6)).all()


def test_centre_crop_is_a_view_of_the_middle() -> None:
    batch = np.arange(2 * 5 * 5).reshape(2, 5, 5, 1).astype(np.uint8)
    cropped = centre_crop(batch, 3)
    assert (cropped == batch[:, 1:4, 1:4]).all()
    assert np.shares_memory(cropped, batch)
    assert centre_crop(batch[0], 5).shape == (5, 5, 1)


def test_grey_repeats_and_colour_becomes_pillows_grey() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    assert (with_channels(image, 1)[..., 0] == np.asarray(Image.fromarray(image).convert("L"))).all()
    assert with_channels(image, 3) is image
    repeated = with_channels(image[..., :1], 3)
    assert (repeated == image[..., :1]).all()
    assert repeated.shape == image.shape
    with pytest.raises(DataError, match="3 channels"):
        with_channels(image, 2)


def test_prepare_reads_fits_and_crops(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.fromarray(pixels)))
    spec = ImageSpec(size=24, resize=32, fit="crop", interpolation="bicubic")
    expected = fit(pixels, resize=32, interpolation="bicubic")[4:28, 4:28]
    assert (prepare(path, spec) == expected).all()
    one = ImageSpec(size=24, channels=1, mean=(0.5,), std=(0.5,))
    assert prepare(path, one).shape == (24, 24, 1)
    assert prepare_array(pixels[..., :1], spec).shape == (24, 24, 3)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImage, match="not a plain file"):
        prepare(tmp_path / "pipe.png", ImageSpec(size=8))
