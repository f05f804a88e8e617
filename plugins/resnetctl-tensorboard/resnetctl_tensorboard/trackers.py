"""The tracker `tensorboard`: one event file for each time that a run is trained on."""

import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from resnetctl.spec import Ending, TrackedRun
from resnetctl_tensorboard import events


class Tracking:
    """The event file of one run, complete after each epoch."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def epoch(self, number: int, numbers: Mapping[str, float]) -> None:
        """Append the numbers of an epoch. `train_loss` becomes `train/loss`, so train and val have groups of charts."""
        named = {
            name.replace("_", "/", 1) if name.startswith(("train_", "val_")) else name: value
            for name, value in numbers.items()
        }
        self.append(events.scalars(time.time(), number, named))

    def close(self, ending: Ending) -> None:
        """Append how the run ended."""
        self.append(events.text(time.time(), 0, "ending", ending))

    def append(self, event: bytes) -> None:
        """Append one event; a reader sees it at once."""
        with self._path.open("ab") as file:
            file.write(events.record(event))


class Tracker:
    """Write event files, which TensorBoard shows by the name of their folder."""

    name = "tensorboard"
    summary = "an event file for TensorBoard, in the run's folder"

    def start(self, run: TrackedRun) -> Tracking:
        """Begin an event file. In a resumed run, the epochs that it repeats become void."""
        began = time.time()
        # readers take the files of a folder in the order of their names
        place = len(list(run.folder.glob("events.out.tfevents.*")))
        tracking = Tracking(
            run.folder / f"events.out.tfevents.{int(began):010d}.{socket.gethostname()}.{os.getpid()}.{place}"
        )
        tracking.append(events.header(began))
        if place:
            tracking.append(events.restart(began, run.epoch + 1))
        lines = [f"    {key} = {json.dumps(value, ensure_ascii=False)}" for key, value in run.config.items()]
        tracking.append(events.text(began, 0, "config", "\n".join(lines)))
        return tracking


tensorboard = Tracker()
