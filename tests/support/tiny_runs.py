"""Runs of resnet20 on the tiny dataset, as `train` makes them."""

from collections.abc import Iterable

from support.jobs import to_train

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.draft import Draft
from resnetctl.config.schema import TrainConfig
from resnetctl.facts import Finished, Notice
from resnetctl.system import settings
from resnetctl.tasks.train import train

ARCH = ["model.arch=resnet20", "data=tiny"]


def request(*sets: str, name: str | None = "one", dry_run: bool = False) -> Draft[TrainConfig]:
    """Return the draft of a run on `tiny`, changed by `sets`."""
    return to_train(from_sets([*ARCH, *sets]), name=name, dry_run=dry_run)


def run(*sets: str, name: str = "one") -> runs.RunDir:
    """Train to the end; return the run's folder."""
    finished = [fact for fact in train(request(*sets, name=name), settings.load()) if isinstance(fact, Finished)]
    return runs.RunDir(finished[0].run)


def files(folder: runs.RunDir) -> tuple[bytes, bytes]:
    """Return the bytes of the weights and of the metrics."""
    return folder.weights.read_bytes(), (folder.path / "metrics.jsonl").read_bytes()


def notice_texts(facts: Iterable[object]) -> str:
    """Return the texts of all notices, one per line."""
    return "\n".join(fact.text for fact in facts if isinstance(fact, Notice))
