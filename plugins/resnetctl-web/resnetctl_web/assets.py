"""The two files of onnxruntime-web that a page contains. They are not committed.

The build of this distribution fetches them where npm is; elsewhere `python -m resnetctl_web.assets` does it later.
"""

import hashlib
from pathlib import Path

from resnetctl.errors import InputError
from resnetctl_web import npm
from resnetctl_web.npm import DIGESTS, MODULE, OWN, RUNTIME, VERSION

__all__ = ["COMMAND", "DIGESTS", "MODULE", "OWN", "RUNTIME", "VERSION", "fetch", "load"]
COMMAND = "python -m resnetctl_web.assets"


def load(folder: Path | None = None) -> dict[str, bytes]:
    """Return the two files by name, from `folder` (such as `node_modules/onnxruntime-web/dist`) or from this package.

    Raises:
        InputError: a file is missing, or belongs to another version.
    """
    place = folder or OWN
    return {name: _verified(place / name, sha256) for name, sha256 in DIGESTS.items()}


def fetch(into: Path = OWN) -> None:
    """Run `npm pack`, and put the two files into a folder. Raises `InputError` when npm fails or a digest differs."""
    try:
        npm.fetch(into)
    except FileNotFoundError:
        raise InputError("npm is not installed", hint="install Node.js, which brings npm") from None
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from None


def _verified(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"onnxruntime-web {VERSION} is not here: {error.strerror}", where=str(path), hint=[COMMAND, *_own_copy()]
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise InputError(
            f"this is not the file of onnxruntime-web {VERSION}: its SHA-256 is {found}, not {sha256}",
            where=str(path),
            hint=[COMMAND, *_own_copy()],
        )
    return data


def _own_copy() -> list[str]:
    return [f"or name the folder dist of onnxruntime-web {VERSION}: --ort-web DIR, in Python assets=DIR"]


if __name__ == "__main__":
    fetch()
    print(f"onnxruntime-web {VERSION} is in {OWN}")
