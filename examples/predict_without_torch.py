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


def main(argv: Sequence[str]) -> int:
    """Print file, class and probability, one picture a line. Return 0, 2 for a usage error, 3 for an unusable file."""
    if len(argv) < 2:
        return refuse("name a model and images: python predict_without_torch.py MODEL.onnx IMAGE...", code=2)
    try:
        with open(argv[0], "rb"):  # onnxruntime says less about a missing file
            session = onnxruntime.InferenceSession(argv[0], providers=["CPUExecutionProvider"])
    except OSError as error:
        return refuse(f"{argv[0]}: {error.strerror}. Write it with: resnetctl export RUN --onnx --out {argv[0]}")
    except Exception as error:  # those of onnxruntime have no class in common
        return refuse(f"{argv[0]} is no ONNX file: {error}")
    about = session.get_modelmeta().custom_metadata_map
    if not {"contract", "names"} <= about.keys():
        return refuse(f"{argv[0]} has no metadata of resnetctl. Write one with: resnetctl export RUN --onnx")
    names, code = json.loads(about["names"]), 0
    for path in argv[1:]:
        try:
            image = ImageOps.exif_transpose(Image.open(path))
        except OSError as error:  # the others are still classified
            code = refuse(f"{path}: {error.strerror or 'is no image that Pillow can read'}. Leave it out")
            continue
        inputs = {"image": whole(image)} if about["contract"] == "raw/1" else {"pixel_values": prepare(image, about)}
        (probabilities,) = session.run(["probabilities"], inputs)
        best = int(probabilities[0].argmax())
        print(f"{path}\t{names[str(best)]}\t{probabilities[0, best]:.4f}")
    return code


def refuse(reason: str, *, code: int = 3) -> int:
    """Print a line on stderr and return the exit code."""
    print("error: " + " ".join(reason.split()), file=sys.stderr)
    return code


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
    sys.exit(main(sys.argv[1:]))
