"""Image files of all kinds to pixels, and what is refused."""

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import encode, grey, solid

from resnetctl.data.images import fit, prepare
from resnetctl.data.reading import decode
from resnetctl.data.reading.decode import BadImage, open_image, read_header, read_image
from resnetctl.hints import Setting
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


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_colours_are_close(kind: str) -> None:
    assert (
        np.abs(np.subtract(pixel(encode(Image.new("RGB", (16, 16), (200, 100, 50)), kind)), (200, 100, 50))).max() <= 3
    )


@pytest.mark.parametrize(("mode", "count"), [("L", 1), ("RGB", 3), ("RGBX", 4)])
def test_images_become_arrays_without_the_value_that_means_nothing(mode: str, count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, count), dtype=np.uint8)
    image = Image.frombuffer(mode, (7, 5), pixels, "raw", mode, 0, 1)
    array = decode.packed(image)
    assert array.flags.c_contiguous
    assert np.array_equal(array, pixels[..., 0] if mode == "L" else pixels[..., :3])


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


def test_a_pgm_of_sixteen_bits_is_cut() -> None:
    levels = np.array([[0x1234, 0xFEDC]], ">u2").tobytes()
    assert read_image(b"P5\n2 1\n65535\n" + levels, 1).ravel().tolist() == [0x12, 0xFE]
    assert read_image(b"P5\n2 1\n4095\n" + np.array([[0, 4095]], ">u2").tobytes(), 1).ravel().tolist() == [0, 255]


def test_the_transparent_level_of_a_grey_png_of_sixteen_bits_is_white() -> None:
    levels = np.array([[0x1234, 0x1235, 0x8000]], np.uint16)
    data = encode(Image.fromarray(levels), transparency=0x1234)
    assert read_image(data, 1).ravel().tolist() == [255, 0x12, 0x80]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bits_are_refused(mode: str) -> None:
    with pytest.raises(BadImage, match="32-bit"):
        read_image(encode(Image.new(mode, (2, 2)), "TIFF"), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
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


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    image, has_more = open_image(data, "a")
    assert has_more
    assert np.abs(np.subtract(image.getpixel((0, 0)), (255, 0, 0))).max() <= 3
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "PPM", "AVIF"])  # the others ask Pillow's limit themselves
def test_the_limit_of_pixels_can_be_raised_above_that_of_pillow(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.new("RGB", (40, 40)), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses above twice this number
    assert read_image(data, 3, max_pixels=1600).shape == (40, 40, 3)
    with pytest.raises(BadImage, match="40x40 pixels are over the limit of 1,599") as caught:
        read_image(data, 3, max_pixels=1599)
    assert caught.value.hint == (Setting("max_pixels", 1600),)


def test_a_heic_file_names_the_package_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_formats", lambda: decode.FORMATS)
    with pytest.raises(BadImage, match="HEIC files need the package pillow-heif"):
        read_image(b"\0\0\0\x18ftypheic" + bytes(40), 3)


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


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(BadImage, match="cannot be read as an image: the file is empty"):
        read_image(b"", 3)


@pytest.mark.parametrize("kind", decode.FORMATS)
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
    with pytest.raises(BadImage, match="no such file") as caught:
        read_image(tmp_path / "b.png", 3)
    assert caught.value.where == str(tmp_path / "b.png")


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(solid())
    monkeypatch.setattr(decode, "MAX_BYTES", 10)
    with pytest.raises(BadImage, match="over"):
        read_image(path, 3)


def test_other_channel_counts_than_one_and_three_are_refused() -> None:
    with pytest.raises(BadImage, match="1 or 3"):
        read_image(solid(), 4)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImage, match="not a plain file"):
        prepare(tmp_path / "pipe.png", ImageSpec(size=8))


@pytest.mark.parametrize(("kind", "orientation"), [("JPEG", 1), ("JPEG", 6), ("PNG", 8), ("WEBP", 5), ("TIFF", 3)])
def test_a_header_has_the_size_of_the_decoded_image(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.new("L", (6, 4)), kind, exif=exif)
    header = read_header(data, "a")
    assert header.size == open_image(data, "a")[0].size == ((4, 6) if orientation in (5, 6, 8) else (6, 4))
    assert header.mode in ("L", "RGB")


def test_a_header_that_is_damaged_or_too_large_is_refused() -> None:
    data = encode(Image.new("L", (6, 4)), "PNG")
    with pytest.raises(BadImage, match="cannot be read as an image"):
        read_header(data[:20], "a")
    with pytest.raises(BadImage, match="6x4 pixels are over the limit of 23"):
        read_header(data, "a", max_pixels=23)
