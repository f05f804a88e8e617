"""Measure what a teacher adds to a short fine-tuning: the same student, images and seeds, with and without it.

    python benchmarks/distil.py STUDENT.safetensors TEACHER.safetensors --data cifar10-jpeg [--seeds 3] [--steps 64]

Both files name no dataset or the one given. Accuracy is counted on test, of the last step. One JSON line a run.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from machine import hardware, versions

import resnetctl as rc


def main() -> None:
    """Fine-tune with and without the teacher, in turns, and print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--methods", nargs="*", default=["kd"])
    arguments = parser.parse_args()
    print(json.dumps({"hardware": hardware(), "versions": versions("torch")}))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for method in ("", *arguments.methods):
                print(json.dumps(measure(arguments, method, seed=seed, folder=Path(folder))), flush=True)


def measure(arguments: argparse.Namespace, method: str, *, seed: int, folder: Path) -> dict[str, object]:
    """Fine-tune once; `method` "" has no teacher."""
    taught = {"teacher": arguments.teacher, "set": {"distill.method": method}} if method else {}
    began = time.process_time()
    run = rc.finetune(
        arguments.student,
        data=arguments.data,
        name=f"{method or 'labels'}-{seed}",
        out=folder,
        steps=arguments.steps,
        batch_size=128,
        optimizer="sgd",
        lr=0.02,
        weight_decay=5e-4,
        warmup=0.0,
        val_fraction=0.01,
        keep="last",
        threads=1,
        seed=seed,
        progress=False,
        **taught,
    )
    seconds = time.process_time() - began
    report = rc.evaluate(run, data=arguments.data, split="test").report
    return {"method": method or "labels", "seed": seed, "test_top1": report.top1, "cpu_seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
