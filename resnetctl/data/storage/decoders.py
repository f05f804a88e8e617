"""Decode a stored image file into its place in a batch."""

import contextlib

from resnetctl.data.reading.decode import BadImage, Pixels
from resnetctl.data.reading.parallel import Square, decode
from resnetctl.data.reading.plain_jpeg import Decoder, plain_shape


def decode_into(image: Pixels, data: bytes, *, into: Square, decoder: Decoder | None) -> BadImage | None:
    """Write the pixels of a file into `image`: those of `data.reading.parallel.decode`. Return the error, if any.

    Args:
        decoder: decodes plain JPEG files; None: Pillow decodes all.
    """
    if decoder is not None and plain_shape(data) == image.shape:
        with contextlib.suppress(ValueError):  # what simplejpeg refuses, Pillow judges
            decoder(data, image)
            return None
    outcome = decode(data, "image", into=into, decoder=decoder)
    if isinstance(outcome, BadImage):
        return outcome
    image[...] = outcome.pixels
    return None
