"""A stored file is decoded into its place, to the pixels of Pillow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.photos import photo
from support.pictures import encode

from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.data.reading.parallel import Square
from resnetctl.data.reading.plain_jpeg import exact_decoder
from resnetctl.data.storage.decoders import decode_into


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


def test_pillow_judges_what_the_fast_decoder_refuses() -> None:
    def refuse(data: bytes, pixels: Pixels) -> None:
        raise ValueError("premature end")

    into, data = Square(channels=3, resize=24, fit="crop"), encode(photo(0), "JPEG")
    image = np.zeros((24, 24, 3), np.uint8)
    assert decode_into(image, data, into=into, decoder=refuse) is None
    assert image.any()
    assert isinstance(decode_into(image, data[:300], into=into, decoder=refuse), BadImage)
