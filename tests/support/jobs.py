"""Drafts and settled jobs on the tiny dataset."""

from typing import Any

from support.datasets import tiny

from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.draft import Draft, RunRequest, draft
from resnetctl.config.layers import Layer
from resnetctl.config.schema import BenchConfig, FinetuneConfig, TrainConfig
from resnetctl.data.store import open_store
from resnetctl.system import settings
from resnetctl.training.job import Job, prepare


def to_train(*layers: Layer, **request: Any) -> Draft[TrainConfig]:
    """Return the draft of `train` for these layers; `request` has the fields of a `RunRequest`."""
    return draft(TrainConfig, layers, settings=settings.load(), request=RunRequest(**request))


def to_finetune(*layers: Layer, **request: Any) -> Draft[FinetuneConfig]:
    """Return the draft of `finetune`, as `to_train`."""
    return draft(FinetuneConfig, layers, settings=settings.load(), request=RunRequest(**request))


def to_bench(*layers: Layer) -> Draft[BenchConfig]:
    """Return the draft of `bench`."""
    return draft(BenchConfig, layers, settings=settings.load())


def job(*sets: str) -> Job:
    """Return a job: resnet20 on `tiny`, three epochs, batches of 16, changed by `sets`."""
    data_dir = settings.load().data_dir
    if not (data_dir / "tiny").exists():
        tiny(data_dir)
    request = to_train(from_sets(["data=tiny", "epochs=3", "batch_size=16", "augment=shift", *sets]))
    return prepare(request, open_store(data_dir, "tiny"))
