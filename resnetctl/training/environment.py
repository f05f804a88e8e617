"""`env.json`: the versions, the machine and the data of a run, so that others can repeat it."""

import platform
import sys
from importlib import metadata
from typing import Any

from resnetctl import __version__
from resnetctl.engine.checkpoint import machine_facts
from resnetctl.system.machine import cores_granted
from resnetctl.training.job import Job

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "onnx", "onnxruntime")


def describe(job: Job) -> dict[str, Any]:
    """Return the versions, machine, plugins and data of a run."""
    plugins = job.card({}).plugins
    return {
        "schema": "resnetctl.env/1",
        "resnetctl": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": machine_facts() | {"cores": cores_granted(), "device": str(job.device)},
        "plugins": dict(plugins.used),
        "data": {"name": job.store.card.name, "digests": dict(job.store.card.digests)},
        "command": sys.argv[1:],
    }
