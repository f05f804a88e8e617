"""Only plain JPEG files reach another decoder than Pillow, and only a decoder that has proved to be exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from support.photos import files, photo
from support.pictures import encode

from resnetctl.data.reading.decode import BadImage, Pixels, read_image
from resnetctl.data.reading.parallel import Decoded, Square, decode
from resnetctl.data.reading.plain_jpeg import exact_decoder, is_exact, plain_image, plain_shape, space_for
from resnetctl.spec import Fit, Interpolation

PLAIN = {
    "444.jpg": (24, 24, 3),
    "422.jpg": (24, 24, 3),
    "420.jpg": (24, 24, 3),
    "large.jpg": (47, 61, 3),
    "progressive.jpg": (50, 33, 3),
    "grey.jpg": (24, 24, 1),
    "profile.jpg": (24, 24, 3),
}


def test_plain_files_are_jpeg_files_without_anything_that_changes_pixels() -> None:
    cats = {name.removeprefix("train/cat/"): data for name, data in files().items() if name.startswith("train/cat")}
    shapes = {name: plain_shape(data) for name, data in cats.items()}
    assert {name: shape for name, shape in shapes.items() if shape is not None} == PLAIN
    assert {name for name, shape in shapes.items() if shape is None} == {
        "cmyk.jpg", "turned.jpg", "clear.png", "palette.gif",
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 700))
def test_any_bytes_are_plain_or_not_without_an_error(noise: bytes, place: int) -> None:
    data = encode(photo(0), "JPEG")
    assert plain_shape(data[:place] + noise + data[place + len(noise) :]) in (None, (24, 24, 3)) or noise


@pytest.mark.parametrize(("orientation", "is_plain"), [(None, True), (1, True), (3, False), (6, False), (9, False)])
def test_exif_data_are_plain_unless_they_rotate(orientation: int | None, is_plain: bool) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    data = encode(photo(0), "JPEG", exif=exif)
    assert (plain_shape(data) is not None) is is_plain


@pytest.mark.parametrize("content", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_damaged_exif_data_are_read_as_pillow_reads_them(content: bytes) -> None:
    data = encode(photo(0), "JPEG")
    segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    damaged = data[:2] + segment + data[2:]
    into = Square(channels=3, resize=24, fit="crop")
    fast, slow = (decode(damaged, "a.jpg", into=into, decoder=chosen) for chosen in (exact_decoder(), None))
    assert not isinstance(slow, BadImage)
    assert not isinstance(fast, BadImage)
    assert np.array_equal(fast.pixels, slow.pixels)


@pytest.mark.parametrize(
    ("marker", "content"), [(0xE0, b"JFIF\0"), (0xE2, b"ICC_PROFILE\0"), (0xE2, b"ICC_PROFILE\0\1")]
)
def test_segments_that_pillow_finds_too_short_are_not_plain(marker: int, content: bytes) -> None:
    data = encode(photo(0), "JPEG")
    segment = bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
    assert plain_shape(data[:2] + segment + data[2:]) is None


def test_two_segments_of_exif_data_are_not_plain() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    data = encode(photo(0), "JPEG", exif=exif)
    start = data.index(b"\xff\xe1")
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    assert plain_shape(data) is not None
    assert plain_shape(data[:end] + data[start:end] + data[end:]) is None


def test_reading_damaged_exif_data_warns_nobody(recwarn: pytest.WarningsRecorder) -> None:
    content = b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + b"\1" * 9
    segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    data = encode(photo(0), "JPEG")
    plain_shape(data[:2] + segment + data[2:])
    assert not recwarn.list


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_an_outcome_is_the_same_with_the_fast_decoder(
    mode: str, channels: int, how: Fit, interpolation: Interpolation
) -> None:
    pytest.importorskip("simplejpeg")
    for size, resize in (((61, 47), 24), ((30, 90), 64), ((24, 24), 24), ((61, 47), 0)):
        data = encode(photo(0, size).convert(mode), "JPEG")
        into = Square(channels=channels, resize=resize, fit=how, interpolation=interpolation, has_data=True)
        fast, slow = (decode(data, "a.jpg", into=into, decoder=chosen) for chosen in (exact_decoder(), None))
        assert isinstance(fast, Decoded)
        assert isinstance(slow, Decoded)
        assert fast[1:] == slow[1:]
        assert fast.pixels.shape == slow.pixels.shape
        assert fast.pixels.tobytes() == slow.pixels.tobytes()


def test_a_large_image_is_the_same_with_the_fast_decoder() -> None:
    pytest.importorskip("simplejpeg")
    data = encode(photo(0, (1500, 1100)), "JPEG")
    into = Square(channels=3, resize=224, fit="crop")
    fast, slow = (decode(data, "a.jpg", into=into, decoder=chosen) for chosen in (exact_decoder(), None))
    assert np.array_equal(fast[0], slow[0])  # type: ignore[index]


def test_an_image_over_the_limit_is_the_same_error_with_the_fast_decoder() -> None:
    data = encode(photo(0, (61, 47)), "JPEG")
    into = Square(channels=3, resize=24, fit="crop", max_pixels=61 * 47 - 1)
    errors = [decode(data, "a.jpg", into=into, decoder=chosen) for chosen in (exact_decoder(), None)]
    assert [error.message for error in errors] == ["61x47 pixels are over the limit of 2,866"] * 2  # type: ignore[union-attr]


def test_what_the_decoder_refuses_has_no_pixels_yet() -> None:
    def refuse(data: bytes, pixels: Pixels) -> None:
        raise ValueError("premature end")

    assert plain_image(encode(photo(0), "JPEG"), decoder=refuse, max_pixels=10**6) is None
    assert not is_exact(refuse)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_decoder_that_differs_by_one_level_is_not_used(count: int) -> None:
    def almost(data: bytes, pixels: Pixels) -> None:
        pixels[..., :3] = read_image(data, min(pixels.shape[2], 3))
        pixels[0, 0, 0] ^= pixels.shape[2] == count

    assert not is_exact(almost)


@pytest.mark.parametrize("shape", [(1, 1, 1), (64, 256, 256, 3), (375, 500, 4), (0, 8, 8, 3)])
def test_space_for_pixels_begins_where_libjpeg_writes_through_the_caches(shape: tuple[int, ...]) -> None:
    spaces = [space_for(shape) for _ in range(8)]
    assert {(space.shape, space.dtype.name, space.flags.c_contiguous) for space in spaces} == {(shape, "uint8", True)}
    assert {space.ctypes.data % 32 for space in spaces if space.size} <= {16}
