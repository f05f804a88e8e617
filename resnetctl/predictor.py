"""`rc.Predictor`: a network that is loaded once and classifies pictures, from files and from memory."""

from collections import Counter
from collections.abc import Iterable
from os import PathLike
from typing import NotRequired, TypedDict, cast

from resnetctl.data.image_files import Picture, listed, skipped
from resnetctl.errors import warn_caller
from resnetctl.spec import MAX_PIXELS, WeightsCard
from resnetctl.system import settings as machine
from resnetctl.tasks import predict as task
from resnetctl.tasks import targets

Target = str | PathLike[str] | None  # a run, its name, or a file; None: the newest run
Guess = TypedDict("Guess", {"class": str, "probability": float})


class PictureResult(TypedDict):
    """The result for one picture. `file` is None for a picture in memory, `problem` for one that was read.

    `set` is there when a level was asked for: the classes of the prediction set, the likeliest first. `strange` is
    there where the file can say it: True for a picture unlike anything in training, with its `distance`.
    """

    file: str | None
    predictions: list[Guess]
    problem: str | None
    set: NotRequired[list[str]]
    strange: NotRequired[bool]
    distance: NotRequired[float]


class Predictor:
    """A loaded network that classifies pictures: `cats = rc.Predictor("runs/last"); cats("cat.jpg")`.

    It is loaded once and may be called from several threads. torch's number of threads is left as it is.

    Attributes:
        card: the `WeightsCard`: classes, image size and arch.
    """

    def __init__(
        self,
        target: Target = None,
        *,
        top: int = 1,
        set: float | None = None,
        max_pixels: int = MAX_PIXELS,
        device: str | None = None,
    ) -> None:
        """Load a run, a weights file or an ONNX file. None: the newest run.

        Args:
            top: number of classes in each result, unless the call says otherwise.
            set: add the prediction set of this level, such as 0.9, to each result.
            max_pixels: images with more pixels get a problem.
            device: `cpu`, `cuda` or `mps`; an ONNX file always runs on the CPU.

        Raises:
            UsageError: this machine has no such device, or `top` is below 1.
            InputError: the target is missing or unusable, or has no prediction sets of this level.
        """
        task.check_top(top)
        settings = machine.load()
        resolved = targets.resolve(targets.text(target), settings)
        self._opened = targets.open_target(resolved, settings, device=device, keep_threads=True)
        self._top, self._max_pixels = top, max_pixels
        self.card: WeightsCard = self._opened.card
        self._threshold = None if set is None else task.set_threshold(self.card, set, where=resolved.path)
        for notice in resolved.notices:
            warn_caller(notice)

    def __call__(self, pictures: Picture | Iterable[Picture], *, top: int | None = None) -> list[PictureResult]:
        """Return one result for each picture, in order; a picture that cannot be read has a problem in its result.

        Args:
            pictures: one or several paths, bytes of image files, uint8 arrays `(H, W, C)` or `(H, W)`, or PIL images. A
                folder stands for all images in it and below, sorted.
            top: number of classes in each result.

        Raises:
            UsageError: `top` is below 1.
        """
        top = self._top if top is None else top
        task.check_top(top)
        ignored = Counter[str]()
        each = listed(_several(pictures), ignored=ignored)
        found = task.classified(self._opened, each, top=top, threshold=self._threshold, max_pixels=self._max_pixels)
        results = [cast("PictureResult", item.to_json()) for item in found]
        if ignored:
            warn_caller(skipped(ignored))
        return results

    predict = __call__

    def __repr__(self) -> str:
        return f"Predictor({self.card.arch.name}, {len(self.card.classes)} classes)"


def _several(pictures: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """Return the pictures as an iterable; an array of 4 dimensions has several."""
    is_one = isinstance(pictures, str | PathLike | bytes) or not isinstance(pictures, Iterable)
    if is_one or getattr(pictures, "ndim", 4) < 4:
        return [cast("Picture", pictures)]
    return cast("Iterable[Picture]", pictures)
