"""`recipes list` and `recipes verify`: inside is 0, outside is 5."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from resnetctl.__main__ import main
from resnetctl.tasks.sweep import bands
from resnetctl.tasks.sweep.bands import BandReport


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> BandReport:
    """The report of a verification that needs no training: its mean is that of the band."""
    band = bands.band_of("fast", "digits")
    made = BandReport(
        band=band, seeds={9: band.mean}, mean=band.mean, interval=(0.9, 1.0), is_inside=True, group="runs/verify"
    )
    replace(monkeypatch, made)
    return made


def replace(monkeypatch: pytest.MonkeyPatch, made: BandReport) -> None:
    def verify(*_: Any, **options: Any) -> Iterator[Any]:
        assert options["seeds"] == 1
        yield from ()
        return made

    monkeypatch.setattr(bands, "verify", verify)


WORDS = ["recipes", "verify", "fast", "--data", "digits", "--seeds", "1"]


def test_the_list_has_every_band(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[:4] == ["recipe", "data", "config", "val acc"]
    assert "fast\tcifar10-jpeg\tepochs=2\t69.58 %" in "\n".join(lines)
    assert len(lines) == 1 + len(bands.bands().bands)
    assert main(["recipes", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "resnetctl.recipes.list/1"


def test_inside_the_band_is_0(report: BandReport, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(WORDS) == 0
    assert capsys.readouterr().out.startswith("inside: ")
    assert main([*WORDS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_inside"] is True


def test_outside_the_band_is_5(
    report: BandReport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(monkeypatch, dataclasses.replace(report, mean=0.5, is_inside=False))
    assert main(WORDS) == 5
    assert "outside: 50.00 % is the mean of 1 seed" in capsys.readouterr().err
    assert main([*WORDS, "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["is_inside"] is False


def test_a_recipe_without_a_band_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "verify", "fast", "--data", "nothing"]) == 2
    assert "no band on 'nothing'" in capsys.readouterr().err
