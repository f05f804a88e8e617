"""`env.json`: the versions, the machine and the data of a run, so that others can repeat it."""

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from resnetctl import __version__
from resnetctl.engine.checkpoint import machine_facts
from resnetctl.registry.code import code_digests
from resnetctl.spec import DatasetCard
from resnetctl.system.machine import cores_granted
from resnetctl.training.job import Job

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "onnx", "onnxruntime")


def describe(job: Job) -> dict[str, Any]:
    """Return the versions, machine, plugins and data of a run."""
    config, used = job.config, job.card({}).plugins.used
    return environment(job.store.card, plugins=used, device=config.device, precision=config.precision)


def environment(
    data: DatasetCard, *, plugins: Mapping[str, str], device: str = "cpu", precision: str = "fp32"
) -> dict[str, Any]:
    """Return the versions, machine, plugins and data of work on a dataset."""
    return {
        "schema": "resnetctl.env/1",
        "resnetctl": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": machine_facts(device=device, precision=precision) | {"cores": cores_granted(), "device": device},
        "plugins": dict(plugins),
        "code": code_digests(plugins),
        "data": {"name": data.name, "digests": dict(data.digests)},
        "command": sys.argv[1:],
    }
