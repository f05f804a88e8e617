"""Fetch the two files of onnxruntime-web that a page contains, by `npm pack` of one version.

The build of this distribution runs it too, before its dependencies are there: the standard library only.
"""

import hashlib
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

VERSION = "1.30.0"
MODULE, RUNTIME = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
DIGESTS: Mapping[str, str] = {  # SHA-256
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    RUNTIME: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
OWN = Path(__file__).parent / "assets"


def fetch(into: Path = OWN) -> None:
    """Put the two files into a folder, which is created.

    Raises:
        OSError: npm is not installed, or fails.
        ValueError: a digest differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        line = ["npm", "pack", "--silent", f"onnxruntime-web@{VERSION}"]
        done = subprocess.run(line, cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"npm pack failed: {done.stderr.strip()[-500:]}")
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            files = {name: _content(package, f"package/dist/{name}") for name in DIGESTS}
    for name, data in files.items():
        if (found := hashlib.sha256(data).hexdigest()) != DIGESTS[name]:
            raise ValueError(f"{name} is not that of onnxruntime-web {VERSION}: its SHA-256 is {found}")
    into.mkdir(exist_ok=True)
    for name, data in files.items():
        (into / name).write_bytes(data)


def are_here(folder: Path = OWN) -> bool:
    """Return whether a folder has the two files."""
    return all((folder / name).is_file() for name in DIGESTS)


def _content(package: tarfile.TarFile, name: str) -> bytes:
    try:
        member = package.extractfile(name)
    except KeyError:
        member = None
    return b"" if member is None else member.read()
