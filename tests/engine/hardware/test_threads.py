import pytest

from resnetctl import registry
from resnetctl.engine.hardware import threads


def test_tiny_nets_get_one_thread_and_others_every_core_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores_granted", lambda: 6)
    arch = registry.get("arch", "resnet20")
    assert threads.pick_threads(0, arch=arch, size=8) == 1
    assert threads.pick_threads(0, arch=arch, size=32) == 6
    assert threads.pick_threads(3, arch=arch, size=8) == 3
