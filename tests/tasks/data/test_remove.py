"""`data remove` deletes a dataset, even a damaged one."""

from pathlib import Path
from typing import Any

import pytest
from support.pictures import tree, write_tree
from support.toy_dataset import done

from resnetctl import runs
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.add import AddRequest, add
from resnetctl.tasks.data.remove import of_runs, remove
from resnetctl.tasks.data.show import show


def test_remove_works_on_a_damaged_dataset(tmp_path: Path, settings: Settings) -> None:
    done(add(AddRequest(path=write_tree(tmp_path / "p", tree()), name="pets"), settings))
    (settings.data_dir / "pets" / "card.json").write_text("{")
    assert remove("pets", settings).to_json()["name"] == "pets"
    assert list(settings.data_dir.iterdir()) == []


@pytest.mark.parametrize("act", [show, remove])
def test_the_error_for_a_missing_dataset_hints_at_get(settings: Settings, act: Any) -> None:
    with pytest.raises(DataError) as caught:
        act("digits", settings)
    assert caught.value.exit_code == 3
    assert caught.value.hint == (Call("data get", ("digits",)),)


def test_runs_that_were_trained_on_it_are_named(settings: Settings) -> None:
    assert list(of_runs("pets", settings)) == []
    for number in range(7):
        env = {"data": {"name": "pets" if number else "other"}} if number < 6 else {}
        run = runs.create(settings.runs_dir, f"r{number}", config="", sources={}, env=env)
        if number != 2:
            run.save_summary({"status": "finished"})
    said = list(of_runs("pets", settings))
    assert said[0].startswith("5 runs trained on 'pets': ")
    assert sorted(said[0].partition(": ")[2].split(", ")) == [f"r{number}" for number in range(1, 6)]
    assert said[1:] == ["not finished, and a resume needs the dataset: r2"]
    runs.create(settings.runs_dir, "z", config="", sources={}, env={"data": {"name": "pets"}})
    assert next(of_runs("pets", settings)).endswith(" and 1 more")
