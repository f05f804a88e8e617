"""The set-up of certified runs: a net of 2,000 parameters on 60 images, in a plugin that real processes can import."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support import dense
from support.datasets import tiny
from support.distributions import install
from support.faults import Outcome, Workshop

from resnetctl.system.storage import TEMPORARY

PLUGIN = '''"""A small net, and policies that spoil a batch."""

import dataclasses
import math

from resnetctl.spec import Arch, Policy

nano = Arch(name="nano", block="basic", depths=(1, 1), widths=(4, 8), stem="cifar", block_args={"shortcut": "A"})
deep = dataclasses.replace(nano, name="deep", depths=(2, 2))


def spoiler(value):
    def build(image, classes, *, step=6):
        def augment(batch):
            images = batch.images.float()
            if batch.step == step:
                images[1, 0, 0, 0] = value
            return dataclasses.replace(batch, images=images)

        return augment

    return build


poison = Policy(name="poison", build=spoiler(math.nan))
endless = Policy(name="endless", build=spoiler(math.inf))
'''
HEADS = "from support.heads import TinyDet\n\ntiny_det = TinyDet()\n"
POINTS = {
    "arch": {"nano": "nano_plugin:nano", "deep": "nano_plugin:deep"},
    "policy": {"poison": "nano_plugin:poison", "endless": "nano_plugin:endless"},
}
SETS = ("model.arch=nano", "data=tiny")
ALWAYS = {"resnetctl.training.recorder:CHECKPOINT_SECONDS": 0.0}  # a checkpoint after every step


def site(folder: Path) -> Path:
    """Install the plugin into `folder` and return it, for PYTHONPATH."""
    install(folder, "nano-plugin", POINTS, code=PLUGIN)
    return folder


def open_shop(folder: Path) -> Workshop:
    """Return a workshop with the plugin, the head `tiny_det`, and the datasets `tiny` and `scenes`, which has boxes."""
    tiny(folder / "data")
    dense.added(dense.voc(folder / "voc", 24), folder / "data", "scenes")
    install(folder / "heads", "tiny-heads", {"head": {"tiny_det": "tiny_heads:tiny_det"}}, code=HEADS)
    tests = Path(__file__).parents[1]
    path = os.pathsep.join(map(str, (site(folder / "site"), folder / "heads", tests, tests.parent)))
    return Workshop({"RESNETCTL_DATA_DIR": str(folder / "data"), "RESNETCTL_RUNS_DIR": "runs", "PYTHONPATH": path})


@dataclass
class Bench:
    """Train, break and resume runs in one folder, and compare them with uninterrupted runs."""

    shop: Workshop
    folder: Path
    references: dict[tuple[str, ...], tuple[bytes, bytes]] = field(default_factory=dict)
    count: int = 0

    def room(self) -> Path:
        """Create and return an empty folder."""
        self.count += 1
        path = self.folder / f"{self.count:05d}"
        path.mkdir(parents=True)
        return path

    def train(self, cwd: Path, sets: Sequence[str], **options: object) -> Outcome:
        """Start the run, or resume it if it exists, with the command that a user would type."""
        if (cwd / "runs" / "r" / "config.toml").exists():
            return self.shop.run("train", "--resume", "r", cwd=cwd, **options)  # type: ignore[arg-type]
        return self.shop.run(*self.start(sets), cwd=cwd, **options)  # type: ignore[arg-type]

    def start(self, sets: Sequence[str]) -> list[str]:
        """Return the command line of a new run."""
        verb = "finetune" if any(item.startswith("weights=") for item in sets) else "train"
        items = [item for item in (*SETS, *sets) if not (verb == "finetune" and item == SETS[0])]
        return [verb, "--name", "r", *(word for item in items for word in ("--set", item))]

    def reference(self, sets: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """Return weights and metrics of the uninterrupted run."""
        key = tuple(sets)
        if key not in self.references:
            cwd = self.room()
            done = self.train(cwd, sets)
            assert done.code == 0, done.output
            self.references[key] = files(cwd)
        return self.references[key]

    def finish(self, cwd: Path, sets: Sequence[str] = ()) -> None:
        """Train to the end without faults, and compare the result byte for byte."""
        done = self.train(cwd, sets)
        assert done.code == 0, done.output
        assert files(cwd) == self.reference(sets), f"another result in {cwd}"
        left = [path.name for path in (cwd / "runs" / "r").rglob(TEMPORARY + "*")]
        assert left == [], f"stale files in {cwd}"


def files(cwd: Path) -> tuple[bytes, bytes]:
    """Return the bytes that must be equal: `model.safetensors` and `metrics.jsonl`."""
    run = cwd / "runs" / "r"
    return (run / "model.safetensors").read_bytes(), (run / "metrics.jsonl").read_bytes()


def report(test: str, **counts: object) -> None:
    """Add a line to the certification's log, if `RESNETCTL_CERTIFY_LOG` names one."""
    log = os.environ.get("RESNETCTL_CERTIFY_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"test": test, **counts, "python": platform.python_version()}) + "\n")
