"""A comparison shows the config keys that differ, and what came out."""

from pathlib import Path

import pytest

from resnetctl.errors import ConfigError, InputError, UsageError
from resnetctl.runs import RunDir, create
from resnetctl.tasks.runs.comparison import chosen, compare


def run(folder: Path, name: str, config: str, **digests: str) -> RunDir:
    data = {"data": {"name": "digits", "digests": digests}} if digests else {}
    made = create(folder, name, config=config, sources={}, env=data)
    made.log({"epoch": 1, "val_top1": 0.5}, {"epoch": 1})
    return made


def test_only_what_differs_is_shown(tmp_path: Path) -> None:
    one = run(tmp_path, "one", 'data = "digits"\nlr = 0.1\n')
    two = run(tmp_path, "two", 'data = "digits"\nlr = 0.2\n[optim]\nname = "adamw"\n')
    one.save_summary({"arch": "resnet20", "seconds": 3.0})
    report = compare([one, two])
    assert report.runs == ("one", "two")
    assert report.config == {"lr": (0.1, 0.2), "optim.name": (None, "adamw")}
    assert report.results == {
        "status": ("finished", "unfinished"),
        "epochs": (1, 1),
        "val_top1": (0.5, 0.5),
        "test_top1": (None, None),
        "seconds": (3.0, None),
    }
    assert report.to_json()["schema"] == "resnetctl.runs.compare/1"


def test_keys_of_what_is_off_in_all_runs_are_unused(tmp_path: Path) -> None:
    texts = {
        "one": 'augment_after = "none"\n[distill]\nteacher = ""\nweight = 0.9\n[progressive]\ndelay_fraction = 0.5\n',
        "two": 'augment_after = "shift"\n[distill]\nweight = 0.5\n[progressive]\ndelay_fraction = 0.4\n',
        "three": '[distill]\nteacher = "one"\nweight = 0.5\n[progressive]\ninitial_scale = 0.5\ndelay_fraction = 0.4\n',
    }
    one, two, three = (run(tmp_path, name, text) for name, text in texts.items())
    off = compare([one, two])
    assert off.unused == ("augment_after", "distill.weight", "progressive.delay_fraction")
    assert off.config["distill.weight"] == (0.9, 0.5)
    assert compare([one, three]).unused == ("augment_after",)
    assert "distill.teacher" in compare([one, three]).config


def test_names_patterns_and_groups_stand_for_runs(tmp_path: Path) -> None:
    for name in ("lr-1", "lr-2", "other"):
        run(tmp_path, name, "")
    group = tmp_path / "seeds"
    (group / "queue").mkdir(parents=True)
    (group / "sweep.json").write_text("{}")
    for name in ("seed-0", "seed-1"):
        run(group, name, "")

    def names(*texts: str) -> list[str]:
        return sorted(one.path.name for one in chosen(texts, tmp_path))

    assert names("lr-*") == ["lr-1", "lr-2"]
    assert names("lr-1", "lr-?", str(tmp_path / "lr-2")) == ["lr-1", "lr-2"]
    assert names("seeds", "other") == ["other", "seed-0", "seed-1"]
    assert names(str(group)) == names("seeds/*") == names("s*") == ["seed-0", "seed-1"]
    assert names("seeds/*1", "seeds/seed-1") == ["seed-1"]
    assert names("*") == ["lr-1", "lr-2", "other", "seed-0", "seed-1"]
    with pytest.raises(InputError, match=r"no run has a name like 'x\*'"):
        names("x*")
    with pytest.raises(InputError, match="there is no run 'nothing'"):
        names("nothing")


def test_a_comparison_needs_two_runs_that_can_be_read(tmp_path: Path) -> None:
    one = run(tmp_path, "one", "")
    with pytest.raises(UsageError, match="needs two runs"):
        compare([one])
    with pytest.raises(ConfigError):
        compare([one, run(tmp_path, "two", "= =")])


def test_replaced_data_is_shown_and_its_val_accuracies_do_not_compare(tmp_path: Path) -> None:
    one, same, other = (
        run(tmp_path, name, "", train=train, test="ef") for name, train in (("a", "ab"), ("b", "ab"), ("c", "cd"))
    )
    report = compare([one, other])
    assert report.data == {"data.digests.train": ("ab", "cd")}
    assert not report.same_val
    assert (compare([one, same]).data, compare([one, same]).same_val) == ({}, True)


def test_another_split_seed_chooses_other_val_images_unless_the_data_has_its_own(tmp_path: Path) -> None:
    def pair(**digests: str) -> list[RunDir]:
        folder = tmp_path / "-".join(digests)
        return [run(folder, str(seed), f"split_seed = {seed}\n", **digests) for seed in (0, 1)]

    assert not compare(pair(train="ab")).same_val
    assert compare(pair(train="ab", val="gh")).same_val


def test_a_run_without_val_numbers_is_no_other_measurement(tmp_path: Path) -> None:
    one = run(tmp_path, "one", "", train="ab")
    none = create(tmp_path, "two", config="", sources={}, env={"data": {"name": "x", "digests": {"train": "cd"}}})
    assert compare([one, none]).same_val


def test_accuracies_on_another_test_do_not_compare(tmp_path: Path) -> None:
    pair = [run(tmp_path, name, 'data = "digits"\n') for name in ("a", "b")]
    for one, images in zip(pair, ("1" * 64, "2" * 64), strict=True):
        one.write_eval("digits-test", {"top1": 0.5, "epoch": 1, "images": images})
    assert not compare(pair).same_test
    pair[1].write_eval("digits-test", {"top1": 0.5, "epoch": 1, "images": "1" * 64})
    assert compare(pair).same_test
    pair[1].write_eval("digits-test", {"top1": 0.5, "epoch": 0, "images": "2" * 64})  # of other weights
    assert compare(pair).same_test


def test_a_test_of_other_data_that_all_runs_were_measured_on_is_shared(tmp_path: Path) -> None:
    runs = [run(tmp_path, name, f'data = "{name}"\n') for name in ("photos", "small")]
    for item, top1 in zip(runs, (0.9, 0.8), strict=True):
        item.write_eval(f"{item.name}-test", {"data": item.name, "top1": 0.1, "epoch": 1, "images": item.name})
        item.write_eval("photos-test", {"data": "photos", "top1": top1, "epoch": 1, "images": "1" * 64})
    report = compare(runs)
    assert report.shared == {"photos": (0.9, 0.8)}
    runs[1].write_eval("photos-test", {"data": "photos", "top1": 0.8, "epoch": 1, "images": "2" * 64})
    assert compare(runs).shared == {}, "other images"
    runs[1].write_eval("photos-test", {"data": "photos", "top1": 0.8, "epoch": 7, "images": "1" * 64})
    assert compare(runs).shared == {}, "other weights"
