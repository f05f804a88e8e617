"""`data` on the embedded digits and on folders made here."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.fixture
def photos(machine: Path) -> Path:
    """Twelve images in two classes."""
    from PIL import Image

    for label, shade in (("cat", 40), ("dog", 200)):
        (machine / "photos" / label).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (16, 16), (shade, number, 0)).save(machine / "photos" / label / f"{number}.png")
    return machine / "photos"


def test_list_before_and_after(cli: Cli) -> None:
    rows = [line.split("\t") for line in cli("data", "list").out.splitlines()]
    assert rows[0] == ["name", "status", "images", "classes", "size", "licence"]
    assert ["digits", "available", "", "", "", ""] in rows
    assert cli("data", "get", "digits").code == 0
    rows = [line.split("\t") for line in cli("data", "list").out.splitlines()]
    assert ["digits", "in store", "1,797", "10", "8x8x1", "CC BY 4.0"] in rows
    document = cli("data", "list", "--json").json()
    assert document["schema"] == "resnetctl.data.list/1"
    assert {row["name"]: row["in_store"] for row in document["datasets"]}["digits"] is True


def test_get_says_what_it_did_and_what_is_next(cli: Cli) -> None:
    result = cli("data", "get", "digits")
    lines = result.out.splitlines()
    assert lines[0] == "name     digits"
    assert lines[-3:] == ["Next", "  resnetctl data show digits", "  resnetctl train --data digits"]
    assert result.err.splitlines()[-1] == "storing digits: 1,797 images"
    again = cli("data", "get", "digits")
    assert (again.code, again.err) == (0, "digits is in the store already; --replace builds it anew\n")


def test_get_what_nobody_offers(cli: Cli) -> None:
    result = cli("data", "get", "digit")
    assert (result.code, result.err.splitlines()[1]) == (2, "  try    did you mean 'digits'?")


def test_add_show_check_remove(cli: Cli, photos: Path, machine: Path) -> None:
    added = cli("data", "add", "photos", "--name", "pets", "--json").json()
    assert (added["schema"], added["card"]["classes"]) == ("resnetctl.data.add/1", ["cat", "dog"])
    shown = cli("data", "show", "pets", "--sheet", "sheet.png")
    assert (machine / "sheet.png").stat().st_size > 0
    table = shown.out.splitlines()[-3:]
    assert [row.split("\t")[0] for row in table] == ["class", "cat", "dog"]
    assert cli("data", "show", "pets", "--json").json()["schema"] == "resnetctl.data.show/1"
    assert cli("data", "remove", "pets").out.startswith("removed pets: ")
    assert cli("data", "show", "pets").code == 3


def test_an_existing_name_needs_replace(cli: Cli, photos: Path) -> None:
    assert cli("data", "add", "photos", "--name", "pets").code == 0
    assert cli("data", "add", "photos", "--name", "pets").code == 2
    assert cli("data", "add", "photos", "--name", "pets", "--replace", "--size", "8", "--fit", "pad").code == 0
    assert cli("data", "show", "pets", "--json").json()["card"]["image"]["size"] == 8


def test_a_bad_image_is_exit_3_or_skipped(cli: Cli, photos: Path) -> None:
    (photos / "cat" / "bad.png").write_bytes(b"no image")
    result = cli("data", "add", "photos", "--name", "pets")
    assert result.code == 3
    assert "bad.png" in result.err
    assert cli("data", "add", "photos", "--name", "pets", "--on-bad-image", "skip").code == 0


def test_check_of_a_good_dataset(cli: Cli) -> None:
    cli("data", "get", "digits")
    result = cli("data", "check", "digits")
    assert (result.code, result.out) == (0, "digits: 1,797 images, nothing found\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_among_the_findings_is_exit_5(cli: Cli, monkeypatch: pytest.MonkeyPatch, *, as_json: bool) -> None:
    from resnetctl.tasks import data

    findings = (
        SimpleNamespace(severity="warning", code="small", message="class 'cat' has 3 images"),
        SimpleNamespace(severity="error", code="one-class", message="there is one class only"),
    )
    report = SimpleNamespace(
        target="pets", images=3, findings=findings, failed=True, to_json=lambda: {"schema": "resnetctl.data.check/1"}
    )

    def check(target: str, settings: object) -> Any:
        yield from ()
        return report

    monkeypatch.setattr(data, "check", check)
    result = cli("data", "check", "pets", *(["--json"] if as_json else []))
    assert result.code == 5
    assert result.err.startswith("error: 'pets' has errors")
    if as_json:
        assert result.json() == {"schema": "resnetctl.data.check/1"}
    else:
        assert result.out.splitlines() == [
            "severity\tcode\tfinding",
            "error\tone-class\tthere is one class only",
            "warning\tsmall\tclass 'cat' has 3 images",
        ]


def test_missing_things_are_exit_3(cli: Cli) -> None:
    assert cli("data", "show", "nothing").code == 3
    assert cli("data", "remove", "nothing").code == 3
    assert cli("data", "check", "nothing").code == 3
    assert cli("data", "add", "nowhere", "--name", "x").code == 3
