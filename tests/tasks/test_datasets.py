"""`data=` is a stored name, a dataset of a plugin or a path; the last two are stored once."""

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from support.datasets import tiny
from support.pictures import grey, solid, tree, write_tar, write_tree
from support.teams import together
from support.toy_dataset import Toy, done, run

from resnetctl.data.cards import store_names
from resnetctl.engine.distributed import Team
from resnetctl.errors import DataError, PeerFailed, UsageError
from resnetctl.facts import Doing, Notice
from resnetctl.hints import Call, Setting
from resnetctl.system.settings import Settings
from resnetctl.tasks import datasets, remarks
from resnetctl.tasks.data.add import AddRequest, add
from resnetctl.tasks.datasets import ensure, ensure_in_turn, identify, is_stored, offered_name, scratch


def request(path: Path, name: str = "pets", **options: Any) -> AddRequest:
    return AddRequest(path=path, name=name, **options)


@pytest.mark.parametrize("name", ["nothing", "./nothing", "digit"])
def test_an_unknown_name_or_path_is_an_error(settings: Settings, name: str) -> None:
    with pytest.raises(DataError, match=r"no dataset is called|no such file"):
        identify(name, settings)


def test_identify_distinguishes_stored_offered_and_path(tmp_path: Path, settings: Settings) -> None:
    done(add(request(write_tree(tmp_path / "p", tree())), settings))
    means = {"digits": "offered", "one:digits": "offered", "pets": "stored", str(tmp_path / "p"): "path"}
    assert {name: identify(name, settings) for name in means} == means


def test_ensure_returns_a_stored_name_at_once(tmp_path: Path, settings: Settings) -> None:
    done(add(request(write_tree(tmp_path / "p", tree())), settings))
    assert run(ensure("pets", settings)) == ("pets", [])


def test_a_stored_name_whose_folder_changed_has_a_notice(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path / "p", tree())
    done(add(request(root), settings))
    write_tree(root, {"train/cat/9.png": solid((1, 2, 3))})
    name, (notice,) = run(ensure("pets", settings))
    assert name == "pets"
    assert notice == Notice(
        text=f"{root} changed since it was added to the store as 'pets': this uses the stored images",
        hint=(Call("data add", (root,), {"name": "pets", "replace": True}, note="reads it again"),),
    )
    with monkeypatch.context() as patch:
        patch.setattr(remarks, "LOOKED_AT", 3)
        assert run(ensure("pets", settings)) == ("pets", [])
    for split in ("train", "test"):
        shutil.rmtree(root / split)
    assert run(ensure("pets", settings)) == ("pets", []), "a folder that is no dataset any more"
    shutil.rmtree(root)
    assert run(ensure("pets", settings)) == ("pets", [])


def test_a_stored_name_that_is_another_folder_here_has_a_notice(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path / "elsewhere" / "pets", tree())
    done(add(request(root), settings))
    monkeypatch.chdir(root.parent)
    assert run(ensure("pets", settings)) == ("pets", []), "it was made of this folder"
    (tmp_path / "here" / "pets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert run(ensure("pets", settings))[1] == [
        Notice(
            text=f"this is 'pets' of the store, from {root}, not ./pets",
            hint=(Setting("data", "./pets", note="is the one here"),),
        )
    ]


def test_a_path_with_one_class_is_not_stored(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "one", {"a/1.png": solid((1, 2, 3)), "a/2.png": solid((3, 2, 1))})
    (root / "b").mkdir()
    with pytest.raises(DataError, match="one class with images, 'a'") as caught:
        run(ensure(str(root), settings))
    assert caught.value.problems == (f"no image that can be read here: {root / 'b'}",)
    assert not (settings.data_dir / "one").exists()


def test_ensure_gets_a_plugins_dataset_once(toy: Toy, settings: Settings) -> None:
    name, facts = run(ensure("toy", settings))
    assert name == "toy"
    assert facts[0] == Doing(text="'toy' is not in the store yet: getting it")
    assert run(ensure("toy", settings)) == ("toy", [])


def test_ensure_adds_a_path_once_with_a_notice(machine: Path, settings: Settings) -> None:
    write_tree(machine / "My Photos", tree())
    for spelling in ("./My Photos", "My Photos", str(machine / "My Photos"), "../here/My Photos"):
        name, facts = run(ensure(spelling, settings))
        assert name == "my-photos"
        told = [fact.text for fact in facts if isinstance(fact, Notice)]
        assert f"'{name}'" in told[0]
        assert ("adding" in told[0]) == (spelling == "./My Photos")
    assert store_names(settings.data_dir) == ["my-photos"]


@pytest.mark.parametrize("spelling", ["./My Photos", "My Photos", "my-photos"])
def test_is_stored_agrees_with_ensure(spelling: str, machine: Path, settings: Settings) -> None:
    write_tree(machine / "My Photos", tree())
    assert not is_stored(spelling, settings)
    done(ensure("./My Photos", settings))
    assert is_stored(spelling, settings)
    assert not is_stored("digits", settings)


def test_ensure_adds_an_archive(machine: Path, settings: Settings) -> None:
    write_tar(machine / "pets.tar.gz", tree(), mode="w:gz")
    assert done(ensure("pets.tar.gz", settings)) == "pets"


def test_a_name_in_the_store_is_preferred_to_a_folder(machine: Path, settings: Settings) -> None:
    write_tree(machine / "pets", {"a/1.png": grey(1), "b/1.png": grey(2)})
    done(add(request(write_tree(machine / "other", tree())), settings))
    assert run(ensure("pets", settings))[0] == "pets"
    with pytest.raises(UsageError, match="the name 'pets' is taken"):
        done(ensure("./pets", settings))


@pytest.mark.parametrize("change", ["more", "fewer", "other size"])
def test_a_path_that_changed_since_it_was_added_is_an_error(machine: Path, settings: Settings, change: str) -> None:
    root = write_tree(machine / "pets", tree())
    done(ensure("./pets", settings))
    if change == "fewer":
        (root / "train/cat/0.png").unlink()
    else:
        name = "train/cat/9.png" if change == "more" else "train/cat/0.png"
        write_tree(root, {name: solid((1, 2, 3), (12, 12)) + b"\0"})
    with pytest.raises(UsageError, match="changed since") as caught:
        done(ensure("./pets", settings))
    assert caught.value.hint[0] == Call("data add", (Path("pets"),), {"name": "pets", "replace": True})


def test_a_folder_with_the_name_of_a_plugin_is_stored_as_local(machine: Path, settings: Settings) -> None:
    write_tree(machine / "digits", tree())
    assert done(ensure("./digits", settings)) == "digits-local"
    assert done(ensure("digits", settings)) == "digits"


@pytest.mark.parametrize(("name", "hint"), [("digit", "did you mean 'digits'?"), ("./digits", Call("data list"))])
def test_an_unknown_name_suggests_a_similar_one(settings: Settings, name: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        done(ensure(name, settings))
    assert caught.value.exit_code == 3
    assert caught.value.hint[0] == hint


def test_a_dataset_chosen_by_distribution_is_stored_under_both_names(settings: Settings) -> None:
    assert offered_name("one:digits") == "one-digits"
    with pytest.raises(UsageError, match="cannot name a dataset"):
        offered_name("one:a/b")


@pytest.mark.parametrize(("data", "is_elsewhere"), [("digits", True), ("toy", False)])
def test_a_dry_run_on_new_data_does_not_change_the_store(
    toy: Toy, settings: Settings, data: str, *, is_elsewhere: bool
) -> None:
    done(ensure("toy", settings))
    with scratch(settings, data, dry_run=True) as other:
        done(ensure(data, other))
        assert (other != settings) == is_elsewhere
    assert store_names(settings.data_dir) == ["toy"]
    assert other == settings or not other.data_dir.exists()


# ---- a dry run


def test_stored_data_is_read_from_the_store(settings: Settings) -> None:
    tiny(settings.data_dir)
    with scratch(settings, "tiny", dry_run=True) as place:
        assert place.data_dir == settings.data_dir


def test_a_path_that_is_in_the_store_is_not_added_again(settings: Settings) -> None:
    tiny(settings.data_dir)
    Path("tiny").mkdir()
    with scratch(settings, "./tiny", dry_run=True) as place:
        assert place.data_dir == settings.data_dir


def test_new_data_goes_to_a_temporary_folder(settings: Settings) -> None:
    with scratch(settings, "digits", dry_run=True) as place:
        assert place.data_dir != settings.data_dir
        assert place.data_dir.is_dir()
    assert not place.data_dir.exists()


def test_a_real_run_uses_the_data_folder(settings: Settings) -> None:
    with scratch(settings, "digits", dry_run=False) as place:
        assert place == settings


@pytest.mark.parametrize(("data", "verb"), [("toy", "data get"), ("./p", "data add")])
def test_a_dry_run_says_first_that_it_keeps_nothing(
    toy: Toy, settings: Settings, data: str, verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "p", tree())
    with scratch(settings, data, dry_run=True) as place:
        first = next(ensure(data, place, is_kept=place is settings))
    assert isinstance(first, Notice)
    assert "a dry run keeps nothing" in first.text
    assert first.hint == (Call(verb, (data,), note="stores it first"),)
    assert toy.fetched == []


def test_processes_fetch_in_turn_and_process_0_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four processes on two machines, the first of each may fetch; the others then find the data there."""
    fetched: list[Any] = []

    def fetch(data: str, rank: Any, *, is_kept: bool) -> Generator[Notice, None, str]:
        fetched.append(rank)
        yield Notice("fetched")
        return data

    monkeypatch.setattr(datasets, "ensure", fetch)

    def work(team: Team) -> str:
        team.turn = (0, 2, 1, 2)[team.rank]
        return run(ensure_in_turn("pets", team.rank, team=team))[0]  # type: ignore[arg-type]

    assert together(4, work) == ["pets"] * 4
    assert fetched[:2] == [0, 2]
    assert sorted(fetched[2:]) == [1, 3]


def test_data_that_cannot_be_fetched_ends_all_processes(settings: Settings) -> None:
    def work(team: Team) -> None:
        with team.preparing():
            run(ensure_in_turn("nothing", settings, team=team))

    first, second = together(2, work)
    assert isinstance(first, DataError)
    assert isinstance(second, PeerFailed)
