"""Invented reports of `bench`."""

from typing import Any

from resnetctl.engine.stopwatch import Spread
from resnetctl.hints import Hint, Setting
from resnetctl.tasks.bench.report import BenchReport, Machine, Part, Subject, Training, Tried

THREADS = Setting("threads", 2)
PARTS = {
    "gather": 0.01, "augment": 0.01, "normalise": 0.01, "forward": 0.3, "backward": 0.6, "optimizer": 0.05,
    "rest": 0.02,
}  # fmt: skip


def about(median: float, *, low: float | None = None, high: float | None = None, n: int = 7) -> Spread:
    """Return a spread of 10 % around a median."""
    return Spread(median=median, low=low or 0.9 * median, high=high or 1.1 * median, n=n)


def tried(ratio: Spread, *, what: str = "with 2 threads", option: Hint = THREADS) -> Tried:
    return Tried(what=what, option=option, images_per_second=about(100 * ratio.median), ratio=ratio)


def report(*, foreign: float | None = 0.0, parts: dict[str, float] | None = None, **changes: Any) -> BenchReport:
    """Return a report without a reason for advice; `changes` add one."""
    shares = PARTS if parts is None else parts
    values: dict[str, Any] = {
        "subject": Subject(
            arch="resnet20", data="digits", image_size=8, params=269434, batch_size=64, device="cpu", threads=1,
            precision="fp32", train_images=1293, val_images=145, steps=315,
        ),
        "machine": Machine(
            processor="A Processor", cores=2, torch="2.14.1", sgemm_gflops=about(80.0),
            copy_gb_per_second=about(14.25), foreign_cores=foreign,
        ),
        "training": Training(
            images_per_second=about(1000.0), flops_per_image=15.1e6, share_of_sgemm=about(0.42),
            epoch_seconds=1.5, run_seconds=98.0,
            parts={name: Part(seconds=share / 10, share=share) for name, share in shares.items()},
        ),
        "prediction": {"torch batch 128": about(3000.0), "onnxruntime batch 128": about(3100.0)},
        "onnx_ratio": {"batch 128": about(1.03)},
        "tried": (tried(about(0.8)),),
        "start_up": {"python": about(0.02, n=3)},
        "memory": {"training": 87_000_000, "process": 403_100_000},
        "left_out": (),
        "seconds": 41.0,
    }  # fmt: skip
    return BenchReport(**(values | changes))
