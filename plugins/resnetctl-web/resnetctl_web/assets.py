"""The two files of onnxruntime-web that a page contains. They are not committed: `python -m resnetctl_web.assets`.

The command runs `npm pack` for one version and keeps the two files if their digests are the known ones.
"""

import hashlib
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from resnetctl.errors import InputError

VERSION = "1.30.0"
MODULE, RUNTIME = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
DIGESTS: Mapping[str, str] = {  # SHA-256
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    RUNTIME: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
OWN = Path(__file__).parent / "assets"
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
    with tempfile.TemporaryDirectory() as folder:
        line = ["npm", "pack", "--silent", f"onnxruntime-web@{VERSION}"]
        try:
            subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise InputError("npm is not installed", hint="install Node.js, which brings npm") from None
        except subprocess.CalledProcessError as error:
            raise InputError(f"npm pack failed: {error.stderr.strip()[-500:]}") from None
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            for name in DIGESTS:
                member = package.extractfile(f"package/dist/{name}")
                (Path(folder) / name).write_bytes(member.read() if member else b"")
        files = load(Path(folder))
    into.mkdir(exist_ok=True)
    for name, data in files.items():
        (into / name).write_bytes(data)


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
