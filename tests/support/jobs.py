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
    """What `train` gets for these layers; `request` has the fields of a `RunRequest`."""
    return draft(TrainConfig, layers, settings=settings.load(), request=RunRequest(**request))


def to_finetune(*layers: Layer, **request: Any) -> Draft[FinetuneConfig]:
    """What `finetune` gets, likewise."""
    return draft(FinetuneConfig, layers, settings=settings.load(), request=RunRequest(**request))


def to_bench(*layers: Layer) -> Draft[BenchConfig]:
    """What `bench` gets."""
    return draft(BenchConfig, layers, settings=settings.load())


def job(*sets: str) -> Job:
    """resnet20 on `tiny`, three epochs of batches of 16, changed by `sets`."""
    data_dir = settings.load().data_dir
    if not (data_dir / "tiny").exists():
        tiny(data_dir)
    asked = to_train(from_sets(["data=tiny", "epochs=3", "batch_size=16", "augment=shift", *sets]))
    return prepare(asked, open_store(data_dir, "tiny"))
