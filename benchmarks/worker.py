"""One program in its own process, started by `compare.py`. Each answer is one line of JSON on stdout.

`python benchmarks/worker.py MODE TASK`, where the mode is a function of this module.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import IO, Any

from programs.task import Task, metered

from resnetctl.__main__ import rest_threads

WARM_UP = 4  # steps before the first sample
FOREVER = 10_000  # epochs
MODULES = {
    "resnetctl": "ours",
    "reference": "reference",
    "timm": "with_timm",
    "lightning": "with_lightning",
    "keras": "with_keras",
    "reference with our network": "ours_in_reference",
    "resnetctl with spinning threads": "ours",
}


def main(mode: str, text: str) -> None:
    """Run the task in the given `mode`."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr
    task = Task.from_json(text)
    os.environ["OMP_NUM_THREADS"] = str(task.threads)
    if task.program == "resnetctl":
        rest_threads()  # as the command does, before torch is loaded
    modes: dict[str, Callable[[Any, IO[str]], None]] = {
        "steady": steady, "epoch": epoch, "parity": parity, "shares": shares,
    }  # fmt: skip
    module = importlib.import_module(f"programs.{MODULES[task.program]}")
    modes[mode](module.Program(task), answers)


def steady(program: Any, answers: IO[str]) -> None:
    """Answer each line of stdin with a sample, until stdin ends."""
    program.train(metered(sys.stdin, answers, warm_up=WARM_UP), epochs=FOREVER)


def epoch(program: Any, answers: IO[str]) -> None:
    """Train one epoch."""
    program.train(lambda images: None, epochs=1)


def parity(program: Any, answers: IO[str]) -> None:
    """Write logits and one epoch of inputs to files: stdin has their names and the file of pictures, a line each."""
    import numpy as np

    pictures, logits, inputs = sys.stdin.read().split("\n")[:3]
    np.save(logits, program.logits(np.load(pictures)))
    np.save(inputs, program.inputs())


def shares(program: Any, answers: IO[str]) -> None:
    """Return the input pipeline's share of a step, one value per round that stdin asks for."""
    answers.write(json.dumps(program.shares(int(sys.stdin.readline()))) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
