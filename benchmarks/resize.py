"""Two ways to resize: Pillow (evaluation, prediction) and torch (training). How far apart are they, how fast is each?

    python benchmarks/resize.py

writes `benchmarks/resize.md` (1 minute on one core). The ways take turns; the bounds are tested in
`tests/data/test_loader.py`.
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import machine
import numpy as np
import torch
from PIL import Image

from resnetctl.data.images import fit
from resnetctl.data.preprocess import INTERPOLATIONS, resize
from resnetctl.data.reading.decode import Pixels
from resnetctl.engine.stopwatch import Spread, ratios, spread
from resnetctl.spec import Interpolation

SIDES = ((32, 24), (64, 96), (256, 224), (224, 288))
BATCH = 16  # images
PAGE = """# Resizing: Pillow and torch

    python benchmarks/resize.py

`eval` and `predict` resize each image with Pillow, because an ONNX file is used without torch. Training resizes batches
with torch, because Pillow takes {slower} times as long; `nearest` only copies pixels, and copies the same ones in both.

Largest difference in levels (of 255) and share of the values that differ, on noise, which is the worst case, and on
smooth pictures. CPU: torch's integer kernel. Float: what an accelerator computes, in float32, here on the CPU.

| | from | to | CPU, noise | CPU, smooth | float, noise | float, smooth |
|---|---:|---:|---:|---:|---:|---:|
{differences}

Time for an image with 3 channels, one thread, and the ratio of Pillow to torch in the same round: median (quartiles),
n = {rounds}, the ways took turns.

| | from | to | Pillow, ms | torch, ms | ratio |
|---|---:|---:|---:|---:|---:|
{times}

On noise the float kernel keeps the overshoot of `bicubic` and `lanczos` between the passes over rows and columns; the
integer kernel and Pillow clip it. Pictures hardly overshoot.

{machine}, {capability}; {date}.
"""


def main() -> None:
    """Measure all filters and sides, write the page."""
    parser = argparse.ArgumentParser(description="how Pillow and torch resize")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("resize.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = [(name, *sides) for name, sides in itertools.product(INTERPOLATIONS, SIDES)]
    timings = {case: timed(*case, rounds=options.rounds) for case in cases}
    shares = [ratios(pillow, ours).median for (name, *_), (pillow, ours) in timings.items() if name != "nearest"]
    text = PAGE.format(
        slower=f"{min(shares):.0f} to {max(shares):.0f}",
        differences="\n".join(differences(*case) for case in cases),
        rounds=options.rounds,
        times="\n".join(time_row(*case, *timings[case]) for case in cases),
        machine=f"{machine.hardware()}; {machine.versions('torch', 'pillow', 'resnetctl')}",
        capability=torch.backends.cpu.get_cpu_capability(),
        date=time.strftime("%Y-%m-%d", time.gmtime()),
    )
    options.out.write_text(text, encoding="utf-8")
    print(text)


def noise(side: int) -> Pixels:
    """Return a batch `(B, side, side, 3)` of random values."""
    return np.random.default_rng(side).integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)


def smooth(side: int) -> Pixels:
    """Return a batch of pictures without sharp edges: noise of an eighth of the side, enlarged."""
    small = noise(side // 8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in small]
    )


def with_pillow(images: Pixels, side: int, interpolation: Interpolation) -> Pixels:
    """Resize as `eval` and `predict` do."""
    return np.stack([fit(image, resize=side, interpolation=interpolation) for image in images])


def with_torch(images: Pixels, side: int, interpolation: Interpolation, *, exact: bool = False) -> Pixels:
    """Resize as training does; `exact` computes in float32, as on an accelerator."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    resized = resize(batch.float() if exact else batch, side, interpolation=interpolation)
    return resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def differences(interpolation: Interpolation, source: int, side: int) -> str:
    """Return a row of the table of differences."""
    cells = []
    for exact, images in itertools.product((False, True), (noise(source), smooth(source))):
        pillow = with_pillow(images, side, interpolation).astype(int)
        apart = np.abs(with_torch(images, side, interpolation, exact=exact) - pillow)
        cells.append(f"{apart.max()}, {(apart > 0).mean():.2%}")
    return f"| {interpolation} | {source} | {side} | {' | '.join(cells)} |"


def timed(interpolation: Interpolation, source: int, side: int, *, rounds: int) -> tuple[list[float], list[float]]:
    """Return CPU milliseconds per image of Pillow and of torch, one of each per round."""
    images, batch = noise(source), torch.from_numpy(noise(source)).permute(0, 3, 1, 2)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):  # the first one warms up
        begun = time.process_time()
        with_pillow(images, side, interpolation)
        between = time.process_time()
        resize(batch, side, interpolation=interpolation)
        seconds[0].append(1e3 * (between - begun) / BATCH)
        seconds[1].append(1e3 * (time.process_time() - between) / BATCH)
    return seconds[0][1:], seconds[1][1:]


def time_row(interpolation: str, source: int, side: int, pillow: Sequence[float], ours: Sequence[float]) -> str:
    """Return a row of the table of times."""
    return (
        f"| {interpolation} | {source} | {side} | {_cell(spread(pillow), 3)} | {_cell(spread(ours), 3)} "
        f"| {_cell(ratios(pillow, ours), 1)} |"
    )


def _cell(values: Spread, digits: int) -> str:
    return f"{values.median:.{digits}f} ({values.low:.{digits}f}-{values.high:.{digits}f})"


if __name__ == "__main__":
    main()
