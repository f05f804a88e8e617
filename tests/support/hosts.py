"""Two hosts of one machine: network namespaces with addresses of their own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

HOSTS = {"rctl-a": "10.77.0.1", "rctl-b": "10.77.0.2"}
LINK = ("rctl-0", "rctl-1")


def missing() -> str:
    """Return why namespaces cannot be made here; empty if they can."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return "network namespaces need the program ip, and root"
    made = _ip("netns", "add", "rctl-try")
    _ip("netns", "del", "rctl-try")
    return "" if made else "this machine allows no network namespaces"


@contextmanager
def two_hosts() -> Iterator[dict[str, str]]:
    """Make two namespaces that are joined by a link; yield the address of each. Remove them at the end."""
    try:
        assert _ip("link", "add", LINK[0], "type", "veth", "peer", "name", LINK[1])
        for (name, address), link in zip(HOSTS.items(), LINK, strict=True):
            assert _ip("netns", "add", name)
            assert _ip("link", "set", link, "netns", name)
            assert _ip("-n", name, "addr", "add", f"{address}/24", "dev", link)
            assert _ip("-n", name, "link", "set", link, "up")
            assert _ip("-n", name, "link", "set", "lo", "up")
        yield HOSTS
    finally:
        for name in HOSTS:
            _ip("netns", "del", name)
        _ip("link", "del", LINK[0])


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0
