"""A model for NVIDIA's Triton: `config.pbtxt`, `1/model.onnx` and `labels.txt`, to put into a model repository.

Format: github.com/triton-inference-server/server, docs/user_guide/model_configuration.md. The configuration has no
`name`: then Triton takes the name of the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnetctl.deploy import onnx_session
from resnetctl.deploy.exporters.pbtxt import Message, Word, parse, write
from resnetctl.deploy.onnx_card import IMAGE, INPUT, LOGITS, PROBABILITIES, Input
from resnetctl.errors import CheckFailed
from resnetctl.exporting import Bundle, Predict
from resnetctl.spec import WeightsCard

CONFIG, MODEL, LABELS = "config.pbtxt", Path("1", "model.onnx"), "labels.txt"
MAX_BATCH = 64  # images: the gate checks batches up to this size


class Triton:
    """The exporter `triton`."""

    name = "triton"
    summary = "a model of a Triton repository: config.pbtxt, 1/model.onnx, labels.txt"

    def write(self, bundle: Bundle, folder: Path) -> Sequence[Path]:
        """Write the three files."""
        contents = {
            Path(CONFIG): write(config(bundle.card, bundle.input)).encode(),
            Path(LABELS): labels(bundle.card.classes).encode("utf-8", "backslashreplace"),
            MODEL: bundle.onnx,
        }
        (folder / MODEL).parent.mkdir()
        for path, data in contents.items():
            (folder / path).write_bytes(data)
        return [folder / path for path in contents]

    def open(self, folder: Path) -> Predict:
        """Return the predictor of the model file, if the configuration and the labels describe it.

        Raises:
            WeightsError: the model file is missing or refused.
            CheckFailed: the configuration or the labels differ from the interface of the model file.
        """
        path = folder / MODEL
        model = onnx_session.from_bytes(onnx_session.read_bytes(path), str(path))
        card = model.card.weights
        problems = differences((folder / CONFIG).read_text(), config(card, model.card.input))
        if (folder / LABELS).read_text("utf-8") != labels(card.classes):
            problems.append(f"{LABELS} has other classes than the model")
        if problems:
            raise CheckFailed("the configuration does not describe the model", where=str(folder), problems=problems)
        return model.logits


def config(card: WeightsCard, input: Input) -> Message:
    """Return the model configuration for an ONNX file with this card."""
    image = card.image
    name, kind, sides = (
        (IMAGE, "TYPE_UINT8", [-1, -1, -1])
        if input == "raw"
        else (INPUT, "TYPE_FP32", [image.channels, image.size, image.size])
    )
    outputs = [
        ("output", [("name", output), ("data_type", Word("TYPE_FP32")), ("dims", [len(card.classes)]), *labelled])
        for output, labelled in ((LOGITS, []), (PROBABILITIES, [("label_filename", LABELS)]))
    ]
    return [
        ("backend", "onnxruntime"),
        ("max_batch_size", MAX_BATCH),
        ("input", [("name", name), ("data_type", Word(kind)), ("dims", sides)]),
        *outputs,
    ]


def labels(classes: Sequence[str]) -> str:
    """Return the class names, one a line; a line break inside a name is written as an escape."""
    return "".join(name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") + "\n" for name in classes)


def differences(text: str, expected: Message) -> list[str]:
    """Return a line for each field of a configuration that differs from the interface of the model."""
    try:
        fields = parse(text)
    except ValueError as error:
        return [f"{CONFIG} cannot be read: {error}"]
    wanted = [*expected]
    problems = [f"{CONFIG} lacks '{write([field]).strip()}'" for field in wanted if field not in fields]
    return problems + [f"{CONFIG} has '{write([field]).strip()}'" for field in fields if field not in wanted]


triton = Triton()
