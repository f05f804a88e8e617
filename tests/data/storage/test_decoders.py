"""Only plain JPEG files reach another decoder than Pillow, and only a decoder that has proved to be exact."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.photos import files, photo
from support.pictures import encode

from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.data.reading.parallel import Square
from resnetctl.data.storage.decoders import decode_into, exact_decoder, is_exact, plain_shape

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


def simplejpeg() -> object:
    pytest.importorskip("simplejpeg")
    decoder = exact_decoder()
    assert decoder is not None, "simplejpeg proves to be exact"
    return decoder


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    quality=st.integers(1, 100),
    subsampling=st.integers(0, 2),
    progressive=st.booleans(),
    mode=st.sampled_from(["RGB", "L"]),
    channels=st.sampled_from([1, 3]),
    resize=st.sampled_from([16, 40]),
)
def test_the_fast_decoder_gives_the_pixels_of_pillow(
    size: tuple[int, int], quality: int, subsampling: int, progressive: bool, mode: str, channels: int, resize: int
) -> None:
    picture = photo(quality, size).convert(mode)
    data = encode(picture, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    into = Square(channels=channels, resize=resize, fit="crop")
    fast, slow = (np.zeros((resize, resize, channels), np.uint8) for _ in "12")
    assert decode_into(fast, data, into=into, decoder=simplejpeg()) is None  # type: ignore[arg-type]
    assert decode_into(slow, data, into=into, decoder=None) is None
    assert np.array_equal(fast, slow)


def test_a_decoder_that_differs_by_one_level_is_not_used() -> None:
    def almost(data: bytes, pixels: Pixels) -> None:
        image = Image.open(io.BytesIO(data))
        pixels[...] = np.asarray(image).reshape(pixels.shape)
        pixels[0, 0, 0] ^= 1

    assert not is_exact(almost)


def test_pillow_judges_what_the_fast_decoder_refuses() -> None:
    def refuse(data: bytes, pixels: Pixels) -> None:
        raise ValueError("premature end")

    into, data = Square(channels=3, resize=24, fit="crop"), encode(photo(0), "JPEG")
    image = np.zeros((24, 24, 3), np.uint8)
    assert decode_into(image, data, into=into, decoder=refuse) is None
    assert image.any()
    assert isinstance(decode_into(image, data[:300], into=into, decoder=refuse), BadImage)
    assert not is_exact(refuse)
