"""The data tasks: names and paths to datasets in the store, with plugins that keep their word and some that do not."""

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image
from support.pictures import grey, solid, tree, write_tar, write_tree

from resnetctl import registry
from resnetctl.data.cards import store_names
from resnetctl.data.store import open_store
from resnetctl.errors import DataError, PluginError, UsageError, WorkFailed
from resnetctl.facts import Notice, Progress
from resnetctl.spec import DatasetCard, ImageSpec, Split
from resnetctl.system import settings as settings_module
from resnetctl.system.download import BLOCK, _report
from resnetctl.system.settings import Settings
from resnetctl.tasks import datasets as data
from resnetctl.tasks.datasets import AddRequest

Report = TypeVar("Report")
Fact = Notice | Progress


def run(work: Generator[Fact, None, Report]) -> tuple[Report, list[Fact]]:
    """What a task returns, and the facts that it told."""
    facts = []
    while True:
        try:
            facts.append(next(work))
        except StopIteration as end:
            return end.value, facts


def done(work: Generator[Fact, None, Report]) -> Report:
    return run(work)[0]


@pytest.fixture
def settings() -> Settings:
    return settings_module.load()


@dataclasses.dataclass
class Toy:
    """A dataset plugin of two classes; `spoil` says how it breaks its word."""

    spoil: str = ""
    fetched: list[tuple[Path, Path | None]] = dataclasses.field(default_factory=list)

    @property
    def card(self) -> DatasetCard:
        return DatasetCard(
            name="toy",
            classes=("a", "b"),
            image=ImageSpec(size=4, channels=1, mean=(0.1,), std=(0.1,)),
            splits={"train": 4, "test": 2},
            licence="CC0",
            source="https://example.org",
            digests={"toy.bin": "sha256:00"},
            defaults={"mirror": False, "epochs": 3},
            notes=("a toy",),
        )

    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        self.fetched.append((cache, source))
        if self.spoil == "no network":
            raise DataError("'toy' could not be downloaded", hint="--from")
        if self.spoil == "fetch":
            raise ZeroDivisionError("oops")
        _report(BLOCK, 2 * BLOCK)
        _report(2 * BLOCK, 2 * BLOCK)
        return source or cache / "toy.bin"

    def read(self, path: Path, split: Split) -> Iterator[tuple[np.ndarray[Any, Any], str]]:
        if self.spoil == "read":
            raise KeyError("oops")
        count = self.card.splits[split] - (self.spoil == "short" and split == "test")
        size = 5 if self.spoil == "shape" else 4
        for row in range(count):
            yield np.full((size, size, 1), row, np.uint8), "c" if self.spoil == "class" else "ab"[row % 2]


@pytest.fixture
def toy() -> Iterator[Toy]:
    plugin = Toy()
    with registry.overlay("dataset", toy=plugin):
        yield plugin


def test_get_stores_what_the_plugin_reads(toy: Toy, settings: Settings) -> None:
    report, facts = run(data.get("toy", settings))
    assert (report.schema, report.name, report.path, report.done) == (
        "resnetctl.data.get/1",
        "toy",
        settings.data_dir / "toy",
        True,
    )
    card = open_store(settings.data_dir, "toy").card
    assert report.card == card
    assert (card.licence, card.source, card.notes) == ("CC0", "https://example.org", ("a toy",))
    assert dict(card.defaults) == {"mirror": False, "epochs": 3}
    assert dict(card.splits) == {"train": 4, "test": 2}
    assert card.image.mean == (round(1.5 / 255, 6),)  # measured, not the plugin's
    assert set(card.digests) == {"toy.bin", "train", "test"}
    assert facts == [
        Progress(what="downloading toy", done=BLOCK, total=2 * BLOCK, unit="B"),
        Progress(what="downloading toy", done=2 * BLOCK, total=2 * BLOCK, unit="B"),
        Progress(what="storing toy", done=6, total=6, unit="images"),
    ]
    assert toy.fetched == [(settings.data_dir / data.DOWNLOADS, None)]


def test_get_leaves_what_is_there(toy: Toy, settings: Settings, tmp_path: Path) -> None:
    done(data.get("toy", settings))
    assert done(data.get("toy", settings)).done is False
    with pytest.raises(UsageError, match="in the store already"):
        done(data.get("toy", settings, source=tmp_path))
    assert len(toy.fetched) == 1
    assert done(data.get("toy", settings, source=tmp_path, replace=True)).done
    assert toy.fetched[-1][1] == tmp_path


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        ("no network", DataError, "could not be downloaded"),
        ("fetch", PluginError, "dataset 'toy' failed: ZeroDivisionError: oops"),
        ("read", PluginError, "dataset 'toy' failed: KeyError"),
        ("short", DataError, "its card says"),
        ("class", DataError, "class 'c'"),
        ("shape", DataError, "of shape"),
    ],
)
def test_a_plugin_that_breaks_its_word_leaves_nothing(
    toy: Toy, settings: Settings, spoil: str, error: type[Exception], text: str
) -> None:
    toy.spoil = spoil
    with pytest.raises(error, match=text):
        done(data.get("toy", settings))
    assert store_names(settings.data_dir) == []
    assert not settings.data_dir.exists() or list(settings.data_dir.iterdir()) == []


def test_another_process_may_be_faster(toy: Toy, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Toy.read
    inside = []

    def read(self: Toy, path: Path, split: Split) -> Iterator[tuple[np.ndarray[Any, Any], str]]:
        if not inside:
            inside.append(True)
            done(data.get("toy", settings))
        return original(self, path, split)

    monkeypatch.setattr(Toy, "read", read)
    assert done(data.get("toy", settings)).card is not None
    assert [path.name for path in settings.data_dir.iterdir()] == ["toy"]


def test_a_store_that_cannot_be_replaced_is_not_told_as_done(
    toy: Toy, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(data.get("toy", settings))
    monkeypatch.setattr(Toy, "read", full_disk)
    for replace in (False, True):
        with pytest.raises(WorkFailed) if replace else contextlib.nullcontext():
            assert not done(data.get("toy", settings, replace=replace)).done
    assert store_names(settings.data_dir) == ["toy"]


def full_disk(*_: object) -> Iterator[Any]:
    raise WorkFailed("no space")
    yield


@pytest.mark.parametrize("place", ["file", "file/data"])
def test_a_data_folder_that_cannot_be_is_told_before_anything_is_read(
    toy: Toy, settings: Settings, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    elsewhere = dataclasses.replace(settings, data_dir=tmp_path / place)
    root = write_tree(tmp_path / "p", tree())
    for work in (data.get("toy", elsewhere), data.add(request(root), elsewhere)):
        with pytest.raises(UsageError, match="cannot write") as caught:
            next(work)
        assert caught.value.exit_code == 2
        assert "RESNETCTL_DATA_DIR=FOLDER" in caught.value.hint[0]


def test_get_of_an_unknown_name(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no dataset is called 'digit'"):
        done(data.get("digit", settings))


def test_the_digits_are_there_without_a_network(settings: Settings) -> None:
    assert dict(done(data.get("digits", settings)).card.splits) == {"train": 1438, "test": 359}  # type: ignore[union-attr]


def request(path: Path, name: str = "pets", **options: Any) -> AddRequest:
    return AddRequest(path=path, name=name, **options)


def test_add_tells_what_it_does(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", tree())
    report, facts = run(data.add(request(root), settings))
    assert (report.schema, report.name, report.done) == ("resnetctl.data.add/1", "pets", True)
    assert report.card == open_store(settings.data_dir, "pets").card
    assert facts == [Notice(text=f"reading {root}"), Progress(what="adding pets", done=12, total=12, unit="images")]


def test_add_passes_its_options_on(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {**tree(), "train/cat/bad.png": b""})
    report = done(data.add(request(root, size=6, fit="pad", on_bad_image="skip"), settings))
    assert report.card is not None
    assert (report.card.image.size, report.card.image.fit, report.card.splits["train"]) == (6, "pad", 8)


def test_add_names_a_dataset_after_its_path_as_train_does(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "My Pets", tree())
    assert done(data.add(AddRequest(path=root), settings)).name == "my-pets"
    assert run(data.ensure(str(root), settings))[0] == "my-pets"
    assert done(data.add(AddRequest(path=write_tree(tmp_path / "digits", tree())), settings)).name == "digits-local"


def test_add_of_another_folder_with_the_same_name_offers_no_replacement(tmp_path: Path, settings: Settings) -> None:
    done(data.add(AddRequest(path=write_tree(tmp_path / "a" / "pets", tree())), settings))
    with pytest.raises(UsageError, match="it came from") as caught:
        done(data.add(AddRequest(path=write_tree(tmp_path / "b" / "pets", tree())), settings))
    assert caught.value.hint == (f"resnetctl data add {tmp_path}/b/pets --name OTHER",)
    with pytest.raises(DataError, match="no such file"):
        done(data.add(AddRequest(path=tmp_path / "typo" / "pets"), settings))


def test_add_knows_the_home_folder(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / "pets", tree())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert done(data.add(AddRequest(path=Path("~/pets")), settings)).name == "pets"


def test_add_says_that_one_class_is_nothing_to_train_on(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {name: image for name, image in tree().items() if "/cat/" in name})
    report, facts = run(data.add(request(root), settings))
    assert report.card is not None
    assert report.card.classes == ("cat",)
    assert any(isinstance(fact, Notice) and fact.text.startswith("there is one class, 'cat'") for fact in facts)


@pytest.mark.parametrize("name", ["nothing", "./nothing", "digit"])
def test_what_is_nowhere_is_told_without_fetching_anything(settings: Settings, name: str) -> None:
    with pytest.raises(DataError, match=r"no dataset is called|no such file"):
        data.identify(name, settings)


def test_what_is_there_or_to_be_had_is_known(tmp_path: Path, settings: Settings) -> None:
    done(data.add(request(write_tree(tmp_path / "p", tree())), settings))
    means = {"digits": "offered", "one:digits": "offered", "pets": "stored", str(tmp_path / "p"): "path"}
    assert {name: data.identify(name, settings) for name in means} == means


def test_add_to_a_taken_name(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", tree())
    done(data.add(request(root), settings))
    with pytest.raises(UsageError) as caught:
        done(data.add(request(root), settings))
    assert caught.value.exit_code == 2
    assert any("--replace" in line for line in caught.value.hint)
    assert done(data.add(request(root, replace=True), settings)).done


def test_of_two_that_add_at_once_one_is_told_that_the_name_is_taken(tmp_path: Path, settings: Settings) -> None:
    work = data.add(request(write_tree(tmp_path / "p", tree())), settings)
    next(work)
    done(data.add(request(tmp_path / "p"), settings))
    with pytest.raises(UsageError, match="is in the store already"):
        done(work)
    assert [path.name for path in settings.data_dir.iterdir()] == ["pets"]


@pytest.mark.parametrize("name", ["digits", "cifar10", "../x", "a b", ""])
def test_names_that_no_added_dataset_has(tmp_path: Path, settings: Settings, name: str) -> None:
    with pytest.raises(UsageError):
        done(data.add(request(write_tree(tmp_path / "p", tree()), name), settings))
    assert store_names(settings.data_dir) == []


def test_list_without_anything_heavy(tmp_path: Path, settings: Settings) -> None:
    done(data.add(request(write_tree(tmp_path / "p", tree())), settings))
    program = (
        "import sys, json\n"
        "from resnetctl.system import settings\n"
        "from resnetctl.tasks import datasets as data\n"
        "print(json.dumps(data.listing(settings.load()).to_json()))\n"
        "assert not {'numpy', 'PIL', 'torch'} & set(sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    rows = {row["name"]: row for row in json.loads(output)["datasets"]}
    assert {"digits", "cifar10", "cifar100", "mnist", "fashion-mnist", "pets"} <= rows.keys()
    assert rows["pets"]["card"]["splits"] == {"train": 8, "test": 4}
    assert (rows["digits"]["in_store"], rows["digits"]["distribution"]) == (False, "resnetctl")


@pytest.mark.parametrize(("threads", "cores"), [(0, 5), (3, 3)])
def test_add_uses_the_cores_granted_or_asked_for(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, threads: int, cores: int
) -> None:
    asked = []

    def ingest(*_: object, **options: Any) -> Iterator[int]:
        asked.append(options["cores"])
        raise DataError("enough")
        yield 0

    monkeypatch.setattr("resnetctl.data.ingest.ingest", ingest)
    monkeypatch.setattr("resnetctl.system.machine.cores_granted", lambda: 5)
    with pytest.raises(DataError, match="enough"):
        done(data.add(request(write_tree(tmp_path / "p", tree())), dataclasses.replace(settings, threads=threads)))
    assert asked == [cores]


def test_list_survives_a_damaged_card(tmp_path: Path, settings: Settings) -> None:
    done(data.add(request(write_tree(tmp_path / "p", tree())), settings))
    (settings.data_dir / "pets" / "card.json").write_text("{")
    (row,) = [row for row in data.listing(settings).datasets if row.name == "pets"]
    assert row.card is None
    assert "cannot be read" in row.problem


def test_show(tmp_path: Path, settings: Settings) -> None:
    done(data.add(request(write_tree(tmp_path / "p", tree())), settings))
    report = data.show("pets", settings, sheet=tmp_path / "sheet.png")
    assert report.counts == {"cat": {"train": 4, "test": 2}, "dog": {"train": 4, "test": 2}}
    assert Image.open(tmp_path / "sheet.png").format == "PNG"
    assert report.to_json()["sheet"] == str(tmp_path / "sheet.png")
    assert data.show("pets", settings).sheet is None


@pytest.mark.parametrize("act", [data.show, data.remove])
def test_a_missing_name(settings: Settings, act: Any) -> None:
    with pytest.raises(DataError) as caught:
        act("digits", settings)
    assert caught.value.exit_code == 3
    assert caught.value.hint == ("resnetctl data get digits",)


def test_remove_also_what_is_damaged(tmp_path: Path, settings: Settings) -> None:
    done(data.add(request(write_tree(tmp_path / "p", tree())), settings))
    (settings.data_dir / "pets" / "card.json").write_text("{")
    assert data.remove("pets", settings).to_json()["name"] == "pets"
    assert list(settings.data_dir.iterdir()) == []


def test_check_a_name_and_a_path(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {**tree(train=12, test=10), "train/cat/bad.png": b""})
    report, facts = run(data.check(str(root), settings))
    assert (report.failed, report.images) == (True, 45)
    assert [finding.code for finding in report.findings] == ["unreadable"]
    assert facts[-1] == Progress(what=f"checking {root}", done=45, total=45, unit="images")
    done(data.add(request(root, on_bad_image="skip"), settings))
    assert not done(data.check("pets", settings)).failed
    with pytest.raises(DataError, match="no dataset is called 'pest'"):
        done(data.check("pest", settings))


def test_ensure_a_name_in_the_store(tmp_path: Path, settings: Settings) -> None:
    done(data.add(request(write_tree(tmp_path / "p", tree())), settings))
    assert run(data.ensure("pets", settings)) == ("pets", [])


def test_ensure_a_plugin(toy: Toy, settings: Settings) -> None:
    name, facts = run(data.ensure("toy", settings))
    assert name == "toy"
    assert facts[0] == Notice(text="'toy' is not in the store yet: getting it")
    assert run(data.ensure("toy", settings)) == ("toy", [])


def test_ensure_a_path_adds_it_once_and_says_so(machine: Path, settings: Settings) -> None:
    write_tree(machine / "My Photos", tree())
    for spelling in ("./My Photos", "My Photos", str(machine / "My Photos"), "../here/My Photos"):
        name, facts = run(data.ensure(spelling, settings))
        assert name == "my-photos"
        told = [fact.text for fact in facts if isinstance(fact, Notice)]
        assert f"'{name}'" in told[0]
        assert ("adding" in told[0]) == (spelling == "./My Photos")
    assert store_names(settings.data_dir) == ["my-photos"]


@pytest.mark.parametrize("spelling", ["./My Photos", "My Photos", "my-photos"])
def test_what_ensure_will_find_is_known_before(spelling: str, machine: Path, settings: Settings) -> None:
    write_tree(machine / "My Photos", tree())
    assert not data.is_stored(spelling, settings)
    done(data.ensure("./My Photos", settings))
    assert data.is_stored(spelling, settings)
    assert not data.is_stored("digits", settings)


def test_ensure_an_archive(machine: Path, settings: Settings) -> None:
    write_tar(machine / "pets.tar.gz", tree(), mode="w:gz")
    assert done(data.ensure("pets.tar.gz", settings)) == "pets"


def test_a_name_in_the_store_wins_over_a_folder(machine: Path, settings: Settings) -> None:
    write_tree(machine / "pets", {"a/1.png": grey(1), "b/1.png": grey(2)})
    done(data.add(request(write_tree(machine / "other", tree())), settings))
    assert run(data.ensure("pets", settings)) == ("pets", [])
    with pytest.raises(UsageError, match="the name 'pets' is taken"):
        done(data.ensure("./pets", settings))


@pytest.mark.parametrize("change", ["more", "fewer", "other size"])
def test_a_path_that_changed_is_not_used_as_if_it_had_not(machine: Path, settings: Settings, change: str) -> None:
    root = write_tree(machine / "pets", tree())
    done(data.ensure("./pets", settings))
    if change == "fewer":
        (root / "train/cat/0.png").unlink()
    else:
        name = "train/cat/9.png" if change == "more" else "train/cat/0.png"
        write_tree(root, {name: solid((1, 2, 3), (12, 12)) + b"\0"})
    with pytest.raises(UsageError, match="changed since") as caught:
        done(data.ensure("./pets", settings))
    assert any("--replace" in line for line in caught.value.hint)


def test_a_folder_with_the_name_of_a_plugin(machine: Path, settings: Settings) -> None:
    write_tree(machine / "digits", tree())
    assert done(data.ensure("./digits", settings)) == "digits-local"
    assert done(data.ensure("digits", settings)) == "digits"


@pytest.mark.parametrize(("name", "hint"), [("digit", "did you mean 'digits'?"), ("./digits", "resnetctl data list")])
def test_nothing_of_that_name(settings: Settings, name: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        done(data.ensure(name, settings))
    assert caught.value.exit_code == 3
    assert caught.value.hint[0] == hint
