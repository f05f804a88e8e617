"""Write one picture of the digits' test split, which no training has seen: `digit-6.png` or so.

python one_digit.py [PLACE]
"""

import sys
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path

from PIL import Image


def main(place: int) -> None:
    """Write the picture; its name says the class."""
    (entry,) = entry_points(group="resnetctl.datasets", name="digits")
    digits = entry.load()
    pixels, label = next(islice(digits.read(digits.fetch(Path()), "test"), place, None))
    path = Path(f"digit-{label}.png")
    Image.fromarray(pixels[..., 0]).save(path)
    print(path)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
