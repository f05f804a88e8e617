"""Classify pictures in a browser, with Gradio: `pip install gradio`, then `python examples/gradio_app.py runs/last`.

Gradio 6 asks for Pillow below 13, and pip then replaces Pillow 13. Put it back with `pip install "pillow>=13"`: Gradio
runs with it, and a few pictures have other pixels without it.

`examples/serve.py` does the same over HTTP with the standard library only.
"""

import argparse
import sys
from typing import TYPE_CHECKING, Any

import resnetctl as rc
from resnetctl.errors import ResnetctlError

if TYPE_CHECKING:
    from PIL import Image

TOP = 5


def classify(predictor: rc.Predictor, picture: "Image.Image | None") -> dict[str, float]:
    """Return the probabilities of the likeliest classes, as `gradio.Label` shows them; empty without a picture.

    Raises:
        ValueError: the picture cannot be used.
    """
    if picture is None:
        return {}
    (result,) = predictor(picture, top=TOP)
    if result["problem"] is not None:
        raise ValueError(result["problem"])
    return {guess["class"]: guess["probability"] for guess in result["predictions"]}


def app(predictor: rc.Predictor) -> Any:
    """Return the page as a `gradio.Interface`."""
    import gradio

    def answer(picture: "Image.Image | None") -> dict[str, float]:
        try:
            return classify(predictor, picture)
        except ValueError as error:
            raise gradio.Error(str(error)) from error

    return gradio.Interface(
        answer, gradio.Image(type="pil"), gradio.Label(num_top_classes=TOP), title=f"{predictor.card.arch.name}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", help="run, weights or ONNX file (default: the newest run)")
    target = parser.parse_args().target
    try:
        predictor = rc.Predictor(target, top=TOP)  # refuses what is no classifier
    except ResnetctlError as error:
        print(f"error: {error.shell_line()}", file=sys.stderr)
        sys.exit(error.exit_code)
    app(predictor).launch()


if __name__ == "__main__":
    main()
