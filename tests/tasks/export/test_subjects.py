"""The images of the check: val, train, a folder, or noise."""

from pathlib import Path

import pytest
from support.trained import card, make_pictures, make_run

from resnetctl import runs
from resnetctl.data.store import Store
from resnetctl.deploy.onnx_checks import check
from resnetctl.errors import DataError, InputError, UsageError
from resnetctl.hints import Setting
from resnetctl.system import settings
from resnetctl.tasks.export import ExportReport, export


def go(target: str | Path | None = None, **options: object) -> ExportReport:
    return export(target, settings=settings.load(), **options)


def test_without_val_the_check_runs_on_train(store: Store, quick: None) -> None:
    make_run(card(store, val_fraction=0.0))
    assert go().gate == {"kind": "real", "source": "zoo/train", "images": 74}


def test_the_check_can_run_on_a_folder_of_images(run: runs.RunDir, tmp_path: Path, quick: None) -> None:
    pictures = make_pictures(tmp_path / "secret-place")
    report = go(images=pictures)
    assert report.gate == {"kind": "real", "source": "images", "images": 5}
    assert b"secret-place" not in run.onnx.read_bytes()


def test_the_check_can_run_on_a_dataset_that_the_weights_do_not_name(store: Store, quick: None) -> None:
    make_run(card(trained_on={}))
    assert go(data="zoo").gate == {"kind": "real", "source": "zoo/train", "images": 74}


def test_two_settings_that_say_what_to_check_on_are_refused(store: Store, tmp_path: Path) -> None:
    make_run(card(store))
    for other in ({"images": tmp_path}, {"gate": "synthetic"}):
        with pytest.raises(UsageError, match="two settings say what to check on"):
            go(data="zoo", **other)


def test_a_folder_without_images_is_refused(run: runs.RunDir, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no readable image"):
        go(images=tmp_path / "none")
    with pytest.raises(DataError, match="no such folder"):
        go(images=tmp_path / "gone")


@pytest.mark.parametrize("trained_on", [{}, {"name": "lost", "digest": ""}])
def test_without_images_the_error_offers_a_folder_or_noise(trained_on: dict[str, str]) -> None:
    run = make_run(card(trained_on=trained_on))
    with pytest.raises(InputError) as caught:
        go()
    assert caught.value.exit_code == 3
    assert {hint.name for hint in caught.value.hint if isinstance(hint, Setting)} == {"images", "gate"} | (
        set() if trained_on else {"data"}
    )
    assert not run.onnx.exists()


def test_a_synthetic_check_is_recorded_in_the_file(quick: None) -> None:
    run = make_run(card())
    assert go(gate="synthetic").gate == {"kind": "synthetic", "images": 74}
    assert check(run.onnx.read_bytes(), "").gate == {"kind": "synthetic", "images": 74}


def test_a_raw_file_is_checked_on_the_originals_of_a_folder(run: runs.RunDir, tmp_path: Path, quick: None) -> None:
    assert go(images=make_pictures(tmp_path / "p"), input="raw").gate["images"] == 5
