"""The digest of a config: two runs with the same one train the same."""

import hashlib
import json

from resnetctl.config.schema import TrainConfig


def config_sha256(config: TrainConfig, weights_sha256: str = "") -> str:
    """Return the SHA-256 of the config.

    A weights file and a teacher count by their content, not by their path. What a CUDA graph captures does not count,
    because it changes no bit; neither does a window that the sampler does not have.
    """
    values = config.model_dump(mode="json", exclude={"weights_sha256", "graph"}) | {"weights": weights_sha256}
    if config.sampler != "windowed":
        del values["shuffle_window"]
    values["distill"]["teacher"] = ""  # its digest is there, too
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
