"""Classify pictures with an exported ONNX file. Needs onnxruntime, numpy and Pillow; neither torch nor resnetctl.

    python predict_without_torch.py MODEL.onnx IMAGE...

The file's metadata say all that is needed. Mean and std are in the graph; in a file of `--input raw`, the whole
preprocessing is. ORT_DISABLE_TELEMETRY=1 in the environment switches off the telemetry of onnxruntime.
"""

import json
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def main(argv: Sequence[str]) -> None:
    """Print file, class and probability, one picture a line."""
    session = onnxruntime.InferenceSession(argv[0], providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    names = json.loads(about["names"])
    for path in argv[1:]:
        image = ImageOps.exif_transpose(Image.open(path))
        inputs = {"image": whole(image)} if about["contract"] == "raw/1" else {"pixel_values": prepare(image, about)}
        (probabilities,) = session.run(["probabilities"], inputs)
        best = int(probabilities[0].argmax())
        print(f"{path}\t{names[str(best)]}\t{probabilities[0, best]:.4f}")


def whole(image: Image.Image) -> np.ndarray:
    """A picture as uint8 (1, H, W, 3 or 4), for a file that prepares pictures itself."""
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))[None]


def prepare(image: Image.Image, about: Mapping[str, str]) -> np.ndarray:
    """A picture as float32 (1, C, S, S) in 0..1: drawn over white where transparent, made square, central crop."""
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB" if about["channels"] == "3" else "L")
    square = make_square(image, int(about["resize"]), about["fit"], FILTERS[about["interpolation"]])
    size = json.loads(about["imgsz"])[0]
    margin = (square.width - size) // 2
    pixels = np.asarray(square, dtype=np.float32)[margin : margin + size, margin : margin + size] / 255
    return pixels.reshape(1, size, size, -1).transpose(0, 3, 1, 2)


def make_square(image: Image.Image, side: int, fit: str, resample: Image.Resampling) -> Image.Image:
    """`crop` takes the central square, `pad` keeps everything on black, `squash` changes the aspect ratio."""
    if fit == "squash" or image.size == (side, side):
        return image.resize((side, side), resample)
    if fit == "crop":
        edge = min(image.size)
        left, top = (image.width - edge) / 2, (image.height - edge) / 2
        return image.resize((side, side), resample, box=(left, top, left + edge, top + edge))
    scale = side / max(image.size)
    small = image.resize([max(1, round(edge * scale)) for edge in image.size], resample)
    canvas = Image.new(image.mode, (side, side))
    canvas.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return canvas


if __name__ == "__main__":
    main(sys.argv[1:])
