"""Write a small folder of photo-like pictures, one folder a class, to try `data add` and `finetune` on.

    python make_photo_folder.py FOLDER [IMAGES_PER_CLASS]

The motifs are real: handwritten digits that are embedded in resnetctl. The rest is what makes photos hard to read:
colour, JPEG, different sizes and aspect ratios, an EXIF rotation, a hidden file.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("zero", "one", "two", "three")
SIDE = 96  # pixels of a motif
ROTATED = 6  # EXIF orientation: turn by 90 degrees clockwise to show it upright


def main(argv: Sequence[str]) -> None:
    """Write the folder."""
    folder, wanted = Path(argv[0]), int(argv[1]) if len(argv) > 1 else 30
    (entry,) = entry_points(group="resnetctl.datasets", name="digits")
    digits = entry.load()
    generator = np.random.default_rng(0)
    written: Counter[str] = Counter()
    for pixels, label in digits.read(digits.fetch(folder), "train"):
        name = NAMES[int(label)] if int(label) < len(NAMES) else ""
        if name and written[name] < wanted:
            path = folder / name / f"{written[name]:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(photo(pixels[..., 0], generator), path, rotated=written[name] % 10 == 9)
            written[name] += 1
    (folder / ".DS_Store").write_bytes(b"\0")
    print(f"{written.total()} pictures in {folder}")


def photo(motif: np.ndarray, generator: np.random.Generator) -> Image.Image:
    """Draw coloured chalk on a dark board, in the middle of a wider or taller picture."""
    width, height = (int(side) for side in generator.integers(SIDE, SIDE + SIDE // 2, 2))
    board, chalk = generator.integers(0, 70, 3), generator.integers(150, 256, 3)
    large = np.asarray(Image.fromarray(motif).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 255
    mask = np.zeros((height, width, 1))
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    mask[top : top + SIDE, left : left + SIDE, 0] = large
    noise = generator.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(board + (chalk - board) * mask + noise, 0, 255).astype(np.uint8))


def save(image: Image.Image, path: Path, *, rotated: bool) -> None:
    """Save as JPEG; if `rotated`, as a camera held sideways does: turned, with a note to turn it back."""
    if not rotated:
        image.save(path, quality=90)
        return
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    image.transpose(Image.Transpose.ROTATE_90).save(path, quality=90, exif=exif)


if __name__ == "__main__":
    main(sys.argv[1:])
