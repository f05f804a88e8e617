"""Cards are read and written, and names of datasets are checked and derived."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.data import cards
from resnetctl.data.cards import card_bytes, check_name, derive_name, missing, read_card, store_names
from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Call
from resnetctl.spec import DatasetCard, ImageSpec
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.listing import listing

CARD = DatasetCard(
    name="pets",
    classes=("cat", "dog \udcff", "Ōmu"),
    image=ImageSpec(size=8),
    splits={"train": 3},
    digests={"train": "00"},
    defaults={"mirror": True},
    notes=("a note",),
)


def put(data_dir: Path, name: str, content: bytes) -> Path:
    path = data_dir / name / cards.CARD
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_card_reads_back_equal(tmp_path: Path) -> None:
    put(tmp_path, "pets", card_bytes(CARD))
    assert read_card(tmp_path, "pets") == CARD


def test_any_class_name_is_written_in_ascii() -> None:
    assert json.loads(card_bytes(CARD).decode("ascii"))["classes"] == list(CARD.classes)


def test_store_names_are_sorted_and_have_only_datasets(tmp_path: Path) -> None:
    assert store_names(tmp_path / "nowhere") == []
    for name in ("b", "a", ".hidden", ".tmp-resnetctl-x"):
        put(tmp_path, name, card_bytes(CARD))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert store_names(tmp_path) == ["a", "b"]


def changed(**values: object) -> bytes:
    return json.dumps({**CARD.to_json(), **values}).encode()


HOSTILE = {
    "deep": b"[" * 10**5,
    "deep object": b'{"a":' * 10**5,
    "long number": b'{"name": ' + b"9" * 5000 + b"}",
    "path": changed(name="../../../X"),
    "hidden": changed(name=".x"),
    "no class": changed(classes=[]),
    "float size": changed(image={**CARD.image.to_json(), "size": 8.0}),
    "evil": changed(image={**CARD.image.to_json(), "interpolation": "evil"}),
    "NaN": changed(image={**CARD.image.to_json(), "mean": [float("nan")] * 3}),
    "split": changed(splits={"../x": 1}),
    "negative": changed(splits={"train": -1}),
    "huge": b" " * (storage.MAX_DOCUMENT + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_card_that_lies_is_one_error_and_breaks_no_list(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, "pets", HOSTILE[name])
    put(tmp_path, "fine", card_bytes(CARD))
    with pytest.raises(DataError, match="card of dataset 'pets' cannot be read") as caught:
        read_card(tmp_path, "pets")
    assert caught.value.where == str(path)
    assert len(caught.value.message) < 250
    rows = {
        row.name: row for row in listing(Settings(data_dir=tmp_path, runs_dir=tmp_path, device="", threads=0)).datasets
    }
    assert "cannot be read" in rows["pets"].problem
    assert rows["fine"].card == CARD


@pytest.mark.parametrize("target", ["/dev/zero", "fifo"])
def test_a_card_that_never_ends_is_refused(tmp_path: Path, target: str) -> None:
    path = put(tmp_path, "pets", b"")
    path.unlink()
    if target == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
    with pytest.raises(DataError):
        read_card(tmp_path, "pets")


def test_a_manifest_that_lies_gives_no_names(tmp_path: Path) -> None:
    for content in (b"[" * 10**5, b'{"split": "train", "row": ' + b"9" * 5000 + b"}", b"5\n", b"x" * 10**6):
        (tmp_path / cards.MANIFEST).write_bytes(content)
        assert cards.manifest_names(tmp_path, "train", rows=[0]) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"name": "x"}', b"\xff\xfe", b"null"])
def test_a_damaged_card_is_one_error(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, "pets", content)
    with pytest.raises(DataError, match="card of dataset 'pets'") as caught:
        read_card(tmp_path, "pets")
    assert caught.value.where == str(path)
    assert Call("data remove", ("pets",)) in caught.value.hint


@pytest.mark.parametrize("name", ["./cels", "photos/cels", "~/cels", "~nobody-has-this-name/cels"])
def test_a_path_in_place_of_a_name_is_missing_as_a_file_or_folder(tmp_path: Path, name: str) -> None:
    error = missing(tmp_path, name)
    assert (error.message, error.where) == ("no such file or folder", name)


def test_a_folder_in_place_of_a_name_is_told_how_to_store_it(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert missing(tmp_path, folder).hint == (Call("data add", (folder,), note="stores it"),)


def test_missing_hints_how_to_get_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "pets", card_bytes(CARD))
    assert missing(tmp_path, "digits").hint == (Call("data get", ("digits",)),)
    assert "did you mean 'pets'?" in missing(tmp_path, "pest").hint
    assert Call("data add", ("PATH",), {"name": "NAME"}) in missing(tmp_path, "zzz").hint
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells").mkdir()
    assert missing(tmp_path, "cels").hint[0] == "did you mean './cells'?"
    with pytest.raises(DataError) as caught:
        read_card(tmp_path, "cifar10")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["../pets", "a/b", "", ".", "..", "-x", "a b", "ä", "x" * 101, "a\0b"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    put(tmp_path, "pets", card_bytes(CARD))
    with pytest.raises(DataError):
        read_card(tmp_path / "store", name)
    with pytest.raises(UsageError):
        check_name(name)


@pytest.mark.parametrize("name", ["pets", "cifar10-jpeg", "a.b_c-1", "X" * 100])
def test_check_name_accepts_valid_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("photos", "photos"),
        ("./photos/", "photos"),
        ("a/b/My Photos (2).tar.gz", "my-photos-2"),
        ("x.tar.xz", "x"),
        ("x.tgz", "x"),
        ("x.TAR", "x"),
        ("x.zip", "x"),
        ("labels.csv", "labels"),
        ("v1.2", "v1.2"),
        ("写真", "images"),
        (".hidden", "hidden"),
        ("-x-", "x"),
    ],
)
def test_derive_name_makes_a_valid_name_from_a_path(path: str, name: str) -> None:
    assert derive_name(Path(path)) == name


def test_the_current_folder_gets_its_own_name(machine: Path) -> None:
    assert derive_name(Path(".")) == "here"
    assert derive_name(Path("..")) == cards.derive_name(machine.parent)


@given(st.text(max_size=300))
def test_every_derived_name_is_valid(text: str) -> None:
    check_name(derive_name(Path("x") / text.replace("\0", "").replace("/", "")))


def test_cards_import_no_numpy() -> None:
    program = "import sys, resnetctl.data.cards; print({'numpy', 'PIL', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"
