"""Entries are imported in another process, and its end is one of the effects."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.distributions import ARCH, BLOCK, install

from resnetctl import registry
from resnetctl.registry import Entry
from resnetctl.registry import probe as probing
from resnetctl.registry.probe import Probe, changes, fingerprint, probe

CODES = {
    "one": ARCH,
    "dies": "import sys, os\nprint('last words')\nsys.stdout.flush()\nos._exit(7)\n",
    "leaves": "import os\nos._exit(0)\n",
    "heavy": "import torch\n" + ARCH,
    "late": ARCH,
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "talks": "for number in range(9):\n    print('line', number)\n" + ARCH,
    "hangs": "import time\ntime.sleep(60)\n" + ARCH,
}
BLOCKS = {
    "seeds": "import torch\ntorch.manual_seed(3)\n" + BLOCK,
    "removes": "import torch\ndel torch.nn.functional.celu\n" + BLOCK,
    "wraps": "import functools, torch\nold = torch.cat\n\n\n@functools.wraps(old)\ndef cat(*a, **k):\n"
    "    return old(*a, **k)\n\n\ntorch.cat = cat\n" + BLOCK,
    "sound": "import torchvision\n" + BLOCK,
    "raises": "raise ValueError('three')\n",
}


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Entry]]:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    for name, code in CODES.items():
        install(site, f"pr-{name}", {"arch": {name: f"pr_{name}:net"}}, code=code)
    for name, code in BLOCKS.items():
        install(site, f"pr-{name}", {"block": {name: f"pr_{name}:Net"}}, code=code)
    importlib.invalidate_caches()
    registry.refresh()
    yield {entry.name: entry for entry in registry.all_entries() if entry.distribution.startswith("pr-")}
    registry.refresh()


def ask(entries: dict[str, Entry], *names: str) -> dict[str, Probe]:
    return {entry.name: effects for entry, effects in probe([entries[name] for name in names]).items()}


def test_an_entry_that_ends_the_process_does_not_stop_the_others(entries: dict[str, Entry]) -> None:
    probes = ask(entries, "one", "dies", "late")
    assert (probes["one"].error, probes["late"].error) == ("", "")
    assert probes["dies"].error == "importing it ended the process with exit code 7"
    assert probes["dies"].printed == "last words"


def test_an_entry_that_ends_the_process_with_success_is_asked_once(
    entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = []
    monkeypatch.setattr(probing, "_run", lambda *a, run=probing._run, **k: rounds.append(1) or run(*a, **k))
    probes = ask(entries, "one", "leaves", "late")
    assert probes["leaves"].error == "importing it ended the process with exit code 0"
    assert (probes["one"].error, probes["late"].error) == ("", "")
    assert len(rounds) <= 3


def test_only_the_arch_that_loads_torch_is_marked(entries: dict[str, Entry]) -> None:
    probes = ask(entries, "one", "heavy", "late")
    assert {name: one.loads_torch for name, one in probes.items()} == {
        "one": False,
        "heavy": True,
        "late": False,
    }


def test_a_change_of_torch_is_named(entries: dict[str, Entry]) -> None:
    probes = ask(entries, *BLOCKS)
    assert probes["seeds"].patched == ("torch's random state",)
    assert probes["removes"].patched == ("torch.nn.functional.celu",)
    assert probes["wraps"].patched == ("torch.cat",)
    assert probes["sound"] == Probe(entry=entries["sound"]), "torch may change itself when torchvision loads"
    assert "pr-raises 1.2 cannot be imported: ValueError: three" in probes["raises"].error


def test_an_import_that_takes_too_long_is_an_error(entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SECONDS", 1)
    assert ask(entries, "hangs")["hangs"].error == "importing it takes more than 3 s"


def test_a_probe_changes_nothing_in_this_process(entries: dict[str, Entry], capfd: pytest.CaptureFixture[str]) -> None:
    before = fingerprint()
    ask(entries, "dies", "removes")
    assert changes(before, fingerprint()) == ()
    assert capfd.readouterr() == ("", "")


def test_a_fingerprint_has_methods_and_settings_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda self, images: images)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark)
    assert set(changes(before, fingerprint())) == {"torch.nn.Linear.forward", "torch.backends.cudnn.benchmark"}


def test_no_entries_have_no_probes() -> None:
    assert probe([]) == {}


def test_an_entry_that_is_killed_is_named_by_its_signal(entries: dict[str, Entry]) -> None:
    probes = ask(entries, "killed", "one")
    assert probes["killed"].error == "importing it ended the process with SIGKILL"
    assert probes["one"].error == ""


def test_what_is_printed_is_kept_in_three_lines_and_has_an_owner(entries: dict[str, Entry]) -> None:
    probes = ask(entries, "one", "talks", "late")
    assert probes["talks"].printed == "line 0\nline 1\nline 2"
    assert (probes["one"].printed, probes["late"].printed) == ("", "")
    assert probes["talks"].own_name == "net"


def test_an_entry_without_its_object_has_a_remedy(entries: dict[str, Entry]) -> None:
    (found,) = probe([replace(entries["one"], value="pr_one:missing")]).values()
    assert "pr-one 1.2 cannot be imported: AttributeError" not in found.error  # the child reads the metadata again
    (found,) = probe([replace(entries["one"], name="renamed")]).values()
    assert "no arch is called" in found.error


@pytest.mark.parametrize("before", [{"a": 1, "b": "x"}, {}])
def test_equal_fingerprints_have_no_changes(before: dict[str, object]) -> None:
    assert changes(before, dict(before)) == ()
    assert changes(before, before | {"new": 3}) == ()


def test_changes_compare_values_by_kind() -> None:
    def own() -> None: ...

    before = {"number": 1, "text": "a", "function": torch.cat, "gone": torch.stack, "list": [1]}
    after = {"number": 1.0, "text": "b", "function": own, "list": [1]}
    assert changes(before, after) == ("text", "function", "gone", "list")
    assert changes({"f": own}, {"f": torch.nn.functional.relu}) == ()  # torch changes itself


def test_a_fingerprint_is_the_same_twice_and_drawing_changes_it() -> None:
    before = fingerprint()
    assert changes(before, fingerprint()) == ()
    with torch.random.fork_rng(devices=[]):
        torch.rand(1)
        assert changes(before, fingerprint()) == ("torch's random state",)
    with torch.no_grad():
        assert changes(before, fingerprint()) == ("torch's grad mode",)
