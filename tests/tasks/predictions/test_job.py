"""A table of predictions has a row for each image, resumes after a kill, and moves no file before its row."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.pictures import write_tar
from support.trained import CLASSES, card, make_pictures, make_run, make_store

from resnetctl import registry
from resnetctl.data.reading import parallel
from resnetctl.engine.hardware import precision
from resnetctl.errors import DataError, UsageError
from resnetctl.facts import Notice, Progress
from resnetctl.report.problems import Problems
from resnetctl.spec import Calibration, ImageSpec, VectorSpec
from resnetctl.system import settings, storage
from resnetctl.tasks import predict as task
from resnetctl.tasks.export import export
from resnetctl.tasks.nets.answers import Answering
from resnetctl.tasks.predictions.job import JobReport, write_table
from resnetctl.tasks.predictions.subjects import resolve_for

SETS = Calibration(temperature=1.0, sets={"0.9": 1 / 3, "0.95": 0.1}, images=120)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    make_run(card(calibration=SETS))
    return make_pictures(tmp_path / "pictures")


def job(images: list[Path], path: Path, *, target: Any = None, **options: Any) -> tuple[JobReport, Problems]:
    known = settings.load()
    opened = task.open_job(resolve_for(target, images, settings=known), images, settings=known, options=options)
    work = write_table(opened, path)
    while True:
        try:
            assert isinstance(next(work), Notice | Progress)
        except StopIteration as end:
            return end.value


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_image_has_a_row_with_what_predict_returns(pictures: Path, machine: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    report, problems = job([pictures], machine / "a.csv", top=2, level=0.9)
    written = rows(machine / "a.csv")
    outcome = task.predict(None, [pictures], settings=settings.load(), top=2, level=0.9)
    assert list(written[0]) == [
        "file", "class", "probability", "class_2", "probability_2", "set_0.9", "problem", "weights",
    ]  # fmt: skip
    for row, item in zip(written, outcome.results, strict=True):
        assert row["file"] == str(item.file)
        assert row["problem"] == (item.problem.message if item.problem else "")
        if not item.problem:
            assert [row["class"], row["class_2"]] == [name for name, _ in item.guesses]
            assert float(row["probability_2"]) == pytest.approx(item.guesses[1][1], rel=1e-5)
            assert json.loads(row["set_0.9"]) == list(item.classes or ())
    assert (report.images, report.before, report.unreadable, report.moved) == (6, 0, 1, 0)
    assert report.to_json()["problems"] == list(outcome.problems)
    with pytest.raises(DataError, match="1 image cannot be read; the others are classified"):
        problems.require(report.images)


def test_an_image_that_has_a_row_is_not_read_again(
    pictures: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job([pictures / "1.png"], machine / "a.csv")
    read: list[str] = []
    decode = parallel.decode
    monkeypatch.setattr(
        parallel, "decode", lambda data, name, **more: (read.append(name), decode(data, name, **more))[1]
    )
    report, _ = job([pictures], machine / "a.csv")
    assert [Path(name).name for name in read] == ["0.png", "2.png", "3.png", "4.png"]
    assert (report.images, report.before) == (5, 1)


def test_a_bad_image_is_tried_again_until_it_is_read(pictures: Path, machine: Path) -> None:
    picture = (pictures / "1.png").read_bytes()
    (pictures / "1.png").write_bytes(b"no image")
    for _ in range(2):
        report, problems = job([pictures], machine / "a.csv")
        assert (report.images, report.unreadable, problems.count) == (5, 1, 1)
    (pictures / "1.png").write_bytes(picture)
    report, problems = job([pictures], machine / "a.csv")
    assert (report.images, report.before, report.unreadable, problems.count) == (5, 4, 0, 0)
    job([pictures], machine / "whole.csv")
    assert (machine / "a.csv").read_bytes() == (machine / "whole.csv").read_bytes()


def test_a_bad_image_that_was_removed_is_no_problem_of_the_next_call(pictures: Path, machine: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    job([pictures], machine / "a.csv")
    (pictures / "bad.png").unlink()
    report, problems = job([pictures], machine / "a.csv")
    assert (report.unreadable, problems.count) == (0, 0)


@pytest.mark.parametrize("name", ["photoz", "photo.zip", "gone.png", "none/*.png", "empty"])
def test_an_argument_that_gives_no_image_is_told_before_a_table_exists(
    pictures: Path, machine: Path, name: str
) -> None:
    (machine / "empty").mkdir()
    with pytest.raises(DataError, match="nothing was written") as caught:
        job([machine / name], machine / "a.csv")
    assert str(machine / name) in str(caught.value)
    if name != "gone.png":
        with pytest.raises(DataError, match="nothing was written"):
            job([pictures, machine / name], machine / "a.csv")
    assert not (machine / "a.csv").exists()


def test_a_missing_file_beside_others_has_a_row(pictures: Path, machine: Path) -> None:
    report, _ = job([pictures / "0.png", pictures / "gone.png"], machine / "a.csv")
    assert (report.images, report.unreadable) == (2, 1)


def test_files_that_all_moved_before_are_no_problem(pictures: Path, machine: Path) -> None:
    files = [pictures / "0.png", pictures / "1.png"]
    job(files, machine / "a.csv", move=machine / "sorted")
    report, problems = job(files, machine / "a.csv", move=machine / "sorted")
    assert (report.images, report.before, report.moved, problems.count) == (2, 2, 0, 0)


def test_rows_of_other_weights_are_not_mixed(pictures: Path, machine: Path) -> None:
    run = make_run(card(classes=("x", "y", "z")), name="second")
    job([pictures], machine / "a.csv", target="first")
    before = (machine / "a.csv").read_bytes()
    with pytest.raises(UsageError, match="other weights"):
        job([pictures], machine / "a.csv", target=run.path)
    assert (machine / "a.csv").read_bytes() == before


def test_probabilities_before_and_after_calibration_are_not_mixed(pictures: Path, machine: Path) -> None:
    job([pictures / "0.png"], machine / "a.csv")
    warm = make_run(card(calibration=replace(SETS, temperature=2.0)), name="warm")
    with pytest.raises(UsageError, match="other weights"):
        job([pictures], machine / "a.csv", target=warm.path)


def test_probabilities_of_two_precisions_are_not_mixed(
    pictures: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: "amx_bf16")
    job([pictures / "0.png"], machine / "a.csv", precision="bf16")
    with pytest.raises(UsageError, match="other weights"):
        job([pictures], machine / "a.csv")


def test_prediction_sets_of_other_levels_are_not_mixed(pictures: Path, machine: Path) -> None:
    job([pictures / "0.png"], machine / "a.csv", level=0.9)
    with pytest.raises(UsageError, match=r"its columns are not file,class,probability,set_0\.95,"):
        job([pictures], machine / "a.csv", level=0.95)


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_weights_and_both_kinds_of_onnx_files_write_the_same_classes(tmp_path: Path, kind: str) -> None:
    run = make_run(card(make_store()))
    images = make_pictures(tmp_path / "pictures")
    if kind == "tar":
        files = {file.name: file.read_bytes() for file in sorted(images.iterdir())}
        images = write_tar(tmp_path / "pictures.tar", files)
    for input in ("float", "raw"):
        export(None, settings=settings.load(), input=input, gate="synthetic" if input == "float" else "real")
    tables = []
    for number, target in enumerate((run.path, run.onnx, run.raw_onnx)):
        job([images], tmp_path / f"{number}.csv", target=target)
        tables.append([(row["file"], row["class"], row["weights"]) for row in rows(tmp_path / f"{number}.csv")])
    assert len(tables[0]) == 5
    assert tables[0] == tables[1] == tables[2]


def test_workers_write_the_same_bytes(pictures: Path, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    job([pictures], machine / "one.csv")
    monkeypatch.setattr(parallel, "SHARE", 1)
    monkeypatch.setenv("RESNETCTL_THREADS", "2")
    settings.load.cache_clear()
    job([pictures], machine / "two.csv")
    assert (machine / "one.csv").read_bytes() == (machine / "two.csv").read_bytes()


def test_a_row_is_written_before_its_file_moves(pictures: Path, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a kill between the two loses no result, and the next call moves what stayed."""
    moves: list[Path] = []
    move = storage.move

    def fail_after_two(file: Path, place: Path) -> None:
        assert str(file) in [row["file"] for row in rows(machine / "a.csv")]
        if len(moves) == 2:
            raise KeyboardInterrupt
        moves.append(file)
        move(file, place)

    monkeypatch.setattr(storage, "move", fail_after_two)
    with pytest.raises(KeyboardInterrupt):
        job([pictures], machine / "a.csv", move=machine / "sorted")
    monkeypatch.setattr(storage, "move", move)
    report, _ = job([pictures], machine / "a.csv", move=machine / "sorted")
    assert (report.images, report.before, report.moved) == (5, 5, 3)
    assert not list(pictures.iterdir())
    for row in rows(machine / "a.csv"):
        assert (machine / "sorted" / row["class"] / Path(row["file"]).name).is_file()
    assert {row["class"] for row in rows(machine / "a.csv")} <= set(CLASSES)


def test_bad_images_do_not_move(pictures: Path, machine: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    report, _ = job([pictures], machine / "a.csv", move=machine / "sorted")
    assert [file.name for file in pictures.iterdir()] == ["bad.png"]
    assert report.moved == 5


def test_a_link_that_stays_is_told(pictures: Path, machine: Path) -> None:
    (pictures / "link.png").symlink_to("0.png")
    report, _ = job([pictures], machine / "a.csv", move=machine / "sorted")
    assert [text.partition(":")[0] for text in report.notices][-1:] == ["1 file not moved"]


def with_head(monkeypatch: pytest.MonkeyPatch, name: str, answer: Any, **card: Any) -> None:
    """Let the newest run be a network of the task `name` with a head."""
    known: Any = SimpleNamespace(image=ImageSpec(size=8), classes=CLASSES, temperature=1.0, vector=None, **card)
    net = Answering(card=known, digest="0" * 64, task=registry.get("task", name), answer=answer)
    monkeypatch.setattr(task, "has_head", lambda target: True)
    monkeypatch.setattr(task, "open_net", lambda target, settings, precision="fp32": net)


def test_a_network_without_a_single_class_has_no_table(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_head(monkeypatch, "detect", lambda *_: ())
    for move in (None, pictures.parent / "sorted"):
        with pytest.raises(UsageError, match="no single class"):
            job([pictures], pictures.parent / "a.csv", move=move)
    assert not (pictures.parent / "a.csv").exists()


def with_numbers(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the class the number of the image; return a CSV file of numbers that lists the images backwards."""
    names = sorted(file.name for file in pictures.iterdir())
    numbers = pictures.parent / "numbers.csv"
    lines = [f"{pictures / name},{place % len(CLASSES)}" for place, name in enumerate(names)]
    numbers.write_text("\n".join(["path,which", *reversed(lines)]) + "\n")

    def answer(images: Any, vectors: Any) -> tuple[Any, ...]:
        return (shares := np.eye(len(CLASSES), dtype=np.float32)[vectors[:, 0].astype(int)]), shares

    vector = VectorSpec(columns=("which",), mean=(0.0,), std=(1.0,))
    with_head(monkeypatch, "classify", answer)
    monkeypatch.setattr(task.open_net(None, None).card, "vector", vector)  # type: ignore[arg-type]
    return numbers


def test_a_network_that_reads_numbers_has_a_table_that_goes_on(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, numbers = sorted(file.name for file in pictures.iterdir()), with_numbers(pictures, monkeypatch)
    table = pictures.parent / "a.csv"
    job([pictures / names[0], pictures / names[2]], table, vectors=numbers)
    report, _ = job([pictures], table, vectors=numbers, batch=2, move=pictures.parent / "sorted")
    assert (report.images, report.before, report.moved) == (len(names), 2, len(names))
    expected = {str(pictures / name): CLASSES[place % len(CLASSES)] for place, name in enumerate(names)}
    assert {row["file"]: row["class"] for row in rows(table)} == expected
    with pytest.raises(UsageError, match="none are given"):
        job([pictures], table)


def test_a_table_does_not_go_on_with_other_numbers(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of new images, and another order of the lines, change nothing."""
    names, numbers = sorted(file.name for file in pictures.iterdir()), with_numbers(pictures, monkeypatch)
    header, *lines = numbers.read_text().splitlines()
    table = pictures.parent / "a.csv"
    job([pictures / name for name in names[:2]], table, vectors=numbers)
    numbers.write_text("\n".join([header, *sorted(lines), "another.png,0"]) + "\n")
    assert job([pictures], table, vectors=numbers)[0].before == 2
    done = table.read_bytes()
    numbers.write_text("\n".join([header, *lines]).replace(f"{names[1]},1", f"{names[1]},2"))
    with pytest.raises(UsageError, match=f"1 image had other numbers when .* \\(.*{names[1]}\\)") as caught:
        job([pictures], table, vectors=numbers)
    assert "another name begins a new table" in str(caught.value.hint or caught.value)
    assert table.read_bytes() == done
    assert job([pictures / name for name in names if name != names[1]], table, vectors=numbers)[0].before == len(names)


def test_a_killed_job_goes_on_to_the_same_bytes(pictures: Path, tmp_path: Path, machine: Path) -> None:
    """Kill the command again and again, until it comes to its end."""
    for number in range(600):
        shutil.copy(pictures / "0.png", pictures / f"more-{number}.png")
    job([pictures], machine / "whole.csv")
    program = """
import sys, time
from resnetctl.tasks.predictions import table
add = table.Table.add
table.Table.add = lambda *values, **more: (time.sleep(0.001), add(*values, **more))
table.FLUSH_EVERY = 5
from resnetctl.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
    line = [sys.executable, "-c", program, "predict", "first", str(pictures), "--csv", "killed.csv"]
    killed, sizes = 0, [0]
    while True:
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ)
        wanted = sizes[-1] + 20_000
        path = machine / "killed.csv"
        while process.poll() is None and not (path.exists() and path.stat().st_size > wanted):
            time.sleep(0.005)
        if process.poll() is not None:
            assert process.returncode == 0
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
        sizes.append(path.stat().st_size)
        with path.open("ab") as file:
            file.write(b"torn,row")
    assert killed >= 1
    assert path.read_bytes() == (machine / "whole.csv").read_bytes()
