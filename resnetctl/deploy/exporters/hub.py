"""A folder as on the Hugging Face hub: weights, `config.json` and a model card, for timm, transformers and us.

timm's `create_model("local-dir:DIR", pretrained=True)` and transformers' `from_pretrained(DIR)` read `config.json`
where timm has the same network; our parameter names are torchvision's, as timm's are. The weights are those of the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnetctl import registry
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import CheckFailed, UsageError
from resnetctl.exporting import Bundle, Predict
from resnetctl.hints import Setting
from resnetctl.registry.code import OTHER_CODE
from resnetctl.spec import Calibration, WeightsCard
from resnetctl.weights.file import load_model
from resnetctl.wording import counted

CONFIG, README = "config.json", "README.md"
SUFFIX = ".safetensors"
WEIGHTS = f"model{SUFFIX}"  # the name that timm and transformers look for
TIMM = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")  # networks that timm has under the same name
CROP_MODES = {"crop": "center", "pad": "border", "squash": "squash"}  # timm's words
SHOWN = 20  # class names in the model card
FIGURES = {"data", "split", "top1", "count", "interval"}  # of a report, for the model card
TRANSFORM = """
timm's transform differs a little: it resizes the shorter side to whole pixels, then crops. This package resizes the
central square in one step, from fractions of a pixel. So values differ by some levels, and a class close to a tie can
change. An ONNX file with the input `raw` has the exact preprocessing inside.
"""
LOADING = {
    "timm": 'import timm\n\nmodel = timm.create_model("local-dir:FOLDER", pretrained=True)',
    "resnetctl": f'import resnetctl as rc\n\nmodel, card = rc.load("FOLDER/{WEIGHTS}")',
}


class Hub:
    """The exporter `hub`."""

    name = "hub"
    summary = "a folder for timm, transformers and the hub: safetensors, config.json, model card"

    def write(self, bundle: Bundle, folder: Path) -> Sequence[Path]:
        """Write the weights, the configuration and the model card. Raises `UsageError` for the input `raw`."""
        if bundle.input == "raw":
            problem = "this format holds weights, and no preprocessing"
            raise UsageError(problem, where=Setting("input", "raw"), hint=Setting("input", "float"))
        (folder / WEIGHTS).write_bytes(bundle.weights.read_bytes())
        text = json.dumps(config(bundle.card), indent=2, sort_keys=True) + "\n"
        (folder / CONFIG).write_text(text, encoding="utf-8")
        (folder / README).write_text(model_card(bundle), encoding="utf-8", errors="backslashreplace")
        return [folder / CONFIG, folder / README, folder / WEIGHTS]

    def open(self, folder: Path) -> Predict:
        """Return the predictor of the weights, if the configuration describes them.

        Raises:
            WeightsError: the weights are missing or refused.
            CheckFailed: the configuration differs from the card of the weights.
        """
        import torch

        model, card = load_model(folder / WEIGHTS)
        written, expected = json.loads((folder / CONFIG).read_text("utf-8")), config(card)
        if written != expected:
            keys = sorted(key for key in {*written, *expected} if written.get(key) != expected.get(key))
            raise CheckFailed("the configuration does not describe the weights", where=str(folder), problems=keys)
        return torch_predictor(model, card.image, device=torch.device("cpu"))


def is_in_timm(card: WeightsCard) -> bool:
    """Return whether timm has this network under the same name: the core's arch, with the stem of ImageNet."""
    own = registry.get("arch", card.arch.name) if card.arch.name in TIMM else None
    return own is not None and card.arch == own.resolve_stem(card.image.size) and card.arch.stem == "imagenet"


def config(card: WeightsCard) -> dict[str, Any]:
    """Return the content of `config.json`, in the keys that timm reads."""
    image = card.image
    cfg = {
        "input_size": [image.channels, image.size, image.size],
        "fixed_input_size": False,
        "interpolation": image.interpolation,
        "crop_pct": image.size / image.resize,
        "crop_mode": CROP_MODES[image.fit],
        "mean": list(image.mean),
        "std": list(image.std),
        "num_classes": len(card.classes),
        "label_names": list(card.classes),
        "first_conv": "conv1",
        "classifier": "fc",
    }
    return {
        "architecture": card.arch.name,
        "num_classes": len(card.classes),
        "num_features": card.arch.widths[-1] * (4 if card.arch.block == "bottleneck" else 1),
        "label_names": list(card.classes),
        "pretrained_cfg": cfg,
    }


def model_card(bundle: Bundle) -> str:
    """Return the model card: use, data, accuracy, preprocessing and licence."""
    card, image, library = bundle.card, bundle.card.image, "timm" if is_in_timm(bundle.card) else "resnetctl"
    names = ", ".join(map(_code, card.classes[:SHOWN])) + (" and more" if len(card.classes) > SHOWN else "")
    return f"""---
library_name: {library}
pipeline_tag: image-classification
license: other
---

# {card.arch.name} for {counted(len(card.classes), "class")}

Classes: {names}.

## Intended use

It gives one of these classes to every picture, also to a picture of something else. Use it on pictures like those that
it was trained on, and measure it on yours first.

## Data and accuracy

Trained on {_code(card.trained_on.get("name", "") or "data that is not known")}.
{_accuracy(bundle.evals)}
Looks at a test split, as reports in the run: {sum(item.get("split") == "test" for item in bundle.evals.values())}.

{_calibration(card.calibration)}

## How to load it

```python
{LOADING[library]}
```

## Preprocessing

A picture is fitted into {image.resize} x {image.resize} pixels ({image.fit}, {image.interpolation}). Its centre of
{image.size} x {image.size} pixels is normalised with mean {list(image.mean)} and std {list(image.std)}.
{TRANSFORM if library == "timm" else ""}
## Licence

Not stated. The data that it was trained on may restrict its use.
"""


def _calibration(calibration: Calibration | None) -> str:
    """Return what is known about the probabilities, for a reader who has the logits."""
    if calibration is None:
        return "Calibration: probabilities are softmax(logits). How far they can be trusted was not measured."
    sets = ", ".join(f"{float(level):.0%}: {least:.4f}" for level, least in calibration.sets.items())
    chosen = f"softmax(logits / {calibration.temperature:g}), as {calibration.images:,} images of {calibration.split}"
    return (
        f"Calibration: probabilities are {chosen} chose it. Timm and transformers give raw logits. A prediction set "
        f"holds every class of at least this probability, by level: {sets}."
    )


def _accuracy(evals: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a line for each dataset and split, and what `eval` remarked; an ONNX file has the accuracy of its run."""
    own = [report for name, report in evals.items() if not name.endswith(OTHER_CODE)]
    plain = [report for report in own if report.get("tta", "none") == "none"]  # of the weights alone
    known = {(report["data"], report["split"]): report for report in plain if report.keys() >= FIGURES}
    return "".join(
        f"Accuracy on {_code(data)}, {split}: {report['top1']:.2%} of {counted(report['count'], 'image')}, "
        f"95 % interval {report['interval'][0]:.2%} to {report['interval'][1]:.2%}."
        + "".join(f" Remark: {_code(str(notice), limit=500)}." for notice in report.get("notices", ()))
        + "\n"
        for (data, split), report in known.items()
    )


def _code(text: str, *, limit: int = 100) -> str:
    """Return a text as Markdown code, in one line, without markup and without characters that turn the text around."""
    plain = " ".join(text.replace("`", "'").split())[:limit]
    return f"`{''.join(sign if sign.isprintable() else f'<U+{ord(sign):04X}>' for sign in plain)}`"


hub = Hub()
