"""What every program is given, and the clock that it calls after each step.

Shapes: N pictures of the data set, B of a batch, K classes.
"""

import json
import os
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import machine
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Array = NDArray[Any]
Step = Callable[[int], None]  # called with the number of images after every update
LR, MOMENTUM, DECAY, PAD = 0.1, 0.9, 5e-4, 4
REFILL = 4  # steps after a pause that are not counted: loaders filled their queues meanwhile


@dataclass(frozen=True, kw_only=True)
class Task:
    """One program's work. `variant` is what differs within a program: worker processes, or the layout of Keras.

    Attributes:
        weights: file with the network's first weights, by torch's names.
        runs: folder that the program may write to.
    """

    program: str
    variant: str
    arch: str
    data_dir: str
    data: str
    weights: str
    runs: str
    batch: int
    threads: int

    @classmethod
    def from_json(cls, text: str) -> "Task":
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def label(self) -> str:
        return f"{self.program} ({self.variant})" if self.variant else self.program

    @property
    def number(self) -> int:
        """The leading number of the variant `2 workers`."""
        return int(self.variant.split()[0])

    def pictures(self) -> tuple[Array, Array]:
        """Uint8 `(N, 32, 32, 3)` and int64 labels `(N,)`, in memory."""
        stored = load_file(Path(self.data_dir, self.data, "train.safetensors"))
        return stored["images"], stored["labels"]

    def normalisation(self) -> tuple[Array, Array]:
        """Mean and std of each channel, in 0..1."""
        card = json.loads(Path(self.data_dir, self.data, "card.json").read_text(encoding="utf-8"))
        return np.array(card["image"]["mean"]), np.array(card["image"]["std"])

    def first_weights(self) -> dict[str, Array]:
        return load_file(self.weights)


class Program(Protocol):
    """What a module of `programs` has to do."""

    def __init__(self, task: Task) -> None: ...

    def train(self, step: Step, epochs: int) -> None:
        """Train from the first weights, calling `step` after every update."""

    def logits(self, pictures: Array) -> Array:
        """Float32 `(B, K)` of the first weights, in evaluation mode, for uint8 pictures."""

    def inputs(self) -> Array:
        """One epoch of what the network gets: float32 `(N, 3, 32, 32)`; a ragged last batch may be missing."""


def metered(commands: IO[str], answers: IO[str], *, warm_up: int) -> Step:
    """A `step` that turns a running program into samples: it waits within until somebody wants one.

    After `warm_up` steps it writes that it is ready. Then each line of `commands` asks for a sample of that many
    seconds, and the answer is one line of JSON; the end of `commands` ends the process.
    """
    clock = _samples(commands, answers, warm_up=warm_up)
    next(clock)
    return clock.send


def _samples(commands: IO[str], answers: IO[str], *, warm_up: int) -> Generator[None, int, None]:
    """Gets the images of each step."""
    for _ in range(warm_up):
        yield
    _answer(answers, {"ready": True})
    while True:
        line = commands.readline()
        if not line:
            os._exit(0)  # out of the middle of somebody's training loop, whatever it would make of an exception
        for _ in range(REFILL):
            yield
        started = machine.read()
        images = yield
        while time.perf_counter() - started.wall < float(line):
            images += yield
        _answer(answers, machine.read().since(started) | {"images": images})


def _answer(answers: IO[str], fact: dict[str, Any]) -> None:
    answers.write(json.dumps(fact) + "\n")
    answers.flush()
