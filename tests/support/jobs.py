"""A settled job on the tiny dataset."""

from support.datasets import tiny

from resnetctl.config.defaults import final_arch
from resnetctl.config.layers import from_sets, resolve
from resnetctl.config.schema import TrainConfig
from resnetctl.data.store import open_store
from resnetctl.system import settings
from resnetctl.training.job import Job, resized, settle


def job(*sets: str) -> Job:
    """resnet20 on `tiny`, three epochs of batches of 16, changed by `sets`."""
    data_dir = settings.load().data_dir
    if not (data_dir / "tiny").exists():
        tiny(data_dir)
    store = open_store(data_dir, "tiny")
    found = resolve(TrainConfig, [from_sets(["data=tiny", "epochs=3", "batch_size=16", "augment=shift", *sets])])
    arch = final_arch(found.config.model)
    image = resized(store.card.image, found.config.size)
    return settle(found.config, found.origins, arch=arch, image=image, store=store)
