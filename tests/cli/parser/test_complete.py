"""Names for shell completion."""

from pathlib import Path

import pytest

from resnetctl.cli.parser import complete
from resnetctl.system import settings


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("arch", "resnet20"),
        ("block", "basic"),
        ("policy", "standard+cutout"),
        ("optimizer", "adamw"),
        ("schedule", "multistep"),
        ("exporter", "triton"),
        ("dataset", "digits"),
        ("plugin", "bottleneck"),
        ("recipe", "fast"),
        ("run", "last"),
    ],
)
def test_names_of_every_kind_complete(kind: str, name: str) -> None:
    assert name in complete.names(kind)


def test_datasets_of_the_store_complete_too() -> None:
    folder = settings.load().data_dir / "photos"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    assert "photos" in complete.names("dataset")


def test_runs_complete_by_name(machine: Path) -> None:
    (machine / "runs" / "first").mkdir(parents=True)
    (machine / "runs" / "first" / "config.toml").touch()
    assert complete.names("run") == ["last", "first"]


def test_an_error_completes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETCTL_THREADS", "many")
    settings.load.cache_clear()
    assert complete.names("run") == []
