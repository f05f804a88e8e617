"""Measure what a teacher adds to a short fine-tuning: the same student, images and seeds, with and without it.

    python benchmarks/distil.py STUDENT.safetensors TEACHER.safetensors --data cifar10-jpeg [--seeds 3] [--steps 64]
    python benchmarks/distil.py resnet20 TEACHER.safetensors --data cifar10-jpeg --steps 1024    # from scratch

Both files name no dataset or the one given. A student that is no file is an arch, trained from scratch. Accuracy is
counted on test, of the last step. A way is a method with its weight; `--as-it-is` does not sharpen the teacher. One
JSON line a run.
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path

from machine import hardware, versions

import resnetctl as rc
from resnetctl.compress import distil


def main() -> None:
    """Fine-tune with and without the teacher, in turns, and print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student")
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--ways", nargs="*", default=["labels", "kd:.9", "kd:.5"])
    parser.add_argument("--test", help="dataset whose test is measured, by default the same")
    parser.add_argument("--as-it-is", action="store_true")
    arguments = parser.parse_args()
    if arguments.as_it_is:
        distil.SHARPEST = 1.0
    print(json.dumps({"hardware": hardware(), "versions": versions("torch")}))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for way in arguments.ways:
                print(json.dumps(measure(arguments, way, seed=seed, folder=Path(folder))), flush=True)


def measure(arguments: argparse.Namespace, way: str, *, seed: int, folder: Path) -> dict[str, object]:
    """Train once; the way "labels" has no teacher."""
    method, _, weight = way.partition(":")
    chosen = {"distill.method": method, "distill.weight": float(weight or 0.5)}
    taught = {} if way == "labels" else {"teacher": arguments.teacher, "set": chosen}
    is_file = Path(arguments.student).is_file()
    work = partial(rc.finetune, arguments.student) if is_file else partial(rc.train, arch=arguments.student)
    began = time.process_time()
    run = work(
        data=arguments.data,
        name=f"{method}{weight}-{seed}",
        out=folder,
        steps=arguments.steps,
        batch_size=128,
        optimizer="sgd",
        lr=0.02 if is_file else 0.1,
        weight_decay=5e-4,
        warmup=0.0 if is_file else 1.0,
        val_fraction=0.01,
        keep="last",
        threads=1,
        seed=seed,
        progress=False,
        **taught,
    )
    seconds = time.process_time() - began
    report = rc.evaluate(run, data=arguments.test or arguments.data, split="test").report
    return {"way": way, "seed": seed, "test_top1": report.top1, "cpu_seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
