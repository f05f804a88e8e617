"""The checkpoint files of a run. The newest two are kept."""

from dataclasses import dataclass
from pathlib import Path

from resnetctl.system import storage

KEPT = 2


@dataclass(frozen=True)
class Checkpoints:
    """The folder `checkpoints` of a run."""

    folder: Path

    def paths(self) -> list[Path]:
        """Return the files, newest first."""
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def save(self, step: int, data: bytes) -> None:
        """Write the checkpoint of `step`, then delete all but the newest two."""
        self.folder.mkdir(exist_ok=True)
        storage.write(self.folder / f"step-{step:09d}.safetensors", data)
        for old in self.paths()[KEPT:]:
            storage.remove(old)

    def drop(self, name: str) -> None:
        """Delete a corrupt checkpoint."""
        storage.remove(self.folder / name)
