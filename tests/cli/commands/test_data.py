"""`data` on the embedded digits and on temporary folders."""

import io
import os
import signal
import subprocess
import sys
import time
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


def test_list_shows_a_dataset_before_and_after_get(cli: Cli) -> None:
    rows = [line.split("\t") for line in cli("data", "list").out.splitlines()]
    assert rows[0] == ["name", "status", "images", "classes", "size", "licence"]
    assert ["digits", "available", "", "", "", ""] in rows
    assert cli("data", "get", "digits").code == 0
    rows = [line.split("\t") for line in cli("data", "list").out.splitlines()]
    assert ["digits", "in store", "1,797", "10", "8x8x1", "CC BY 4.0"] in rows
    document = cli("data", "list", "--json").json()
    assert document["schema"] == "resnetctl.data.list/1"
    assert {row["name"]: row["in_store"] for row in document["datasets"]}["digits"] is True


def test_get_prints_the_card_and_the_next_commands(cli: Cli) -> None:
    result = cli("data", "get", "digits")
    lines = result.out.splitlines()
    assert lines[0] == "name     digits"
    assert lines[-3:] == ["Next", "  resnetctl data check digits", "  resnetctl train --data digits"]
    assert result.err.splitlines()[-1] == "storing digits: 1,797 images"
    again = cli("data", "get", "digits")
    assert (again.code, again.err) == (0, "digits is already in the store; --replace builds it again\n")


def test_get_of_an_unknown_dataset_gets_a_suggestion(cli: Cli) -> None:
    result = cli("data", "get", "digit")
    assert (result.code, result.err.splitlines()[1]) == (2, "  try    did you mean 'digits'?")


def test_a_dataset_can_be_added_shown_and_removed(cli: Cli, photos: Path, machine: Path) -> None:
    added = cli("data", "add", "photos", "--name", "pets", "--json").json()
    assert (added["schema"], added["card"]["classes"]) == ("resnetctl.data.add/1", ["cat", "dog"])
    shown = cli("data", "show", "pets", "--sheet", "sheet.png")
    assert (machine / "sheet.png").stat().st_size > 0
    table = shown.out.splitlines()[-3:]
    assert [row.split("\t")[0] for row in table] == ["class", "cat", "dog"]
    assert cli("data", "show", "pets", "--json").json()["schema"] == "resnetctl.data.show/1"
    assert cli("data", "remove", "pets", "--yes").out.startswith("removed pets: ")
    assert cli("data", "show", "pets").code == 3


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--size", "224"], "resnetctl finetune --data pets --weights torchvision:resnet18"),
        (["--size", "32"], "resnetctl train --data pets"),
    ],
)
def test_photos_are_to_be_finetuned_from_imagenet(cli: Cli, photos: Path, flags: list[str], line: str) -> None:
    added = cli("data", "add", "photos", "--name", "pets", *flags)
    assert added.out.splitlines()[-2:] == ["  resnetctl data check pets", f"  {line}"]


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


def test_check_of_a_good_dataset_finds_no_problem(cli: Cli) -> None:
    cli("data", "get", "digits")
    result = cli("data", "check", "digits")
    assert (result.code, result.out) == (0, "digits: 1,797 images, no problems found\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_among_the_findings_is_exit_5(cli: Cli, monkeypatch: pytest.MonkeyPatch, *, as_json: bool) -> None:
    from resnetctl.tasks.data import check as task

    findings = (
        SimpleNamespace(severity="warning", code="small", message="class 'cat' has 3 images"),
        SimpleNamespace(severity="error", code="one-class", message="there is one class only"),
    )
    report = SimpleNamespace(
        target="pets",
        images=3,
        findings=findings,
        failed=True,
        pairs=(SimpleNamespace(split="test", name="a.png", train="b.png", score=0.95, is_same_class=False),),
        to_json=lambda: {"schema": "resnetctl.data.check/1"},
    )

    def check(target: str, settings: object, *, near: bool) -> Any:
        assert near
        yield from ()
        return report

    monkeypatch.setattr(task, "check", check)
    result = cli("data", "check", "pets", "--near", *(["--json"] if as_json else []))
    assert result.code == 5
    assert result.err.startswith("error: 'pets' has errors")
    if as_json:
        assert result.json() == {"schema": "resnetctl.data.check/1"}
    else:
        assert result.out.splitlines() == [
            "severity\tcode\tfinding",
            "error\tone-class\tthere is one class only",
            "warning\tsmall\tclass 'cat' has 3 images",
            "",
            "test\ttrain\tcorrelation\tlabel",
            "a.png\tb.png\t0.950\tanother class",
        ]


def test_check_of_a_folder_with_unreadable_files_says_how_to_leave_them_out(cli: Cli, photos: Path) -> None:
    (photos / "cat" / "broken.jpg").write_bytes(b"")
    result = cli("data", "check", str(photos))
    assert result.code == 5
    assert f"try    resnetctl data add {photos} --on-bad-image skip" in " ".join(result.err.split("\n")[-3:])
    assert "leaves out the 1 file that cannot be read" in result.err


def test_a_mirrored_copy_in_the_test_split_is_named_from_the_files_to_the_screen(cli: Cli, machine: Path) -> None:
    import numpy as np
    from PIL import Image
    from support.shots import shots

    pictures = {"train": shots(40), "test": np.concatenate([shots(20, seed=1), shots(40)[3:4, :, ::-1]])}
    for split, images in pictures.items():
        for number, image in enumerate(images):
            folder = machine / "shots" / split / ("cat" if number % 2 else "dog")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
    assert cli("data", "add", "shots", "--name", "shots", "--size", "32").code == 0
    result = cli("data", "check", "shots", "--near")
    assert result.code == 0, result.err
    (row,) = (line.split("\t") for line in result.out.splitlines() if line.endswith("another class"))
    assert (Path(row[0]).name, Path(row[1]).name) == ("20.png", "3.png")
    assert float(row[2]) > 0.99
    (pair,) = cli("data", "check", "shots", "--near", "--json").json()["pairs"]
    assert pair["same_class"] is False


def test_a_missing_dataset_or_path_is_exit_3(cli: Cli) -> None:
    assert cli("data", "show", "nothing").code == 3
    assert cli("data", "remove", "nothing").code == 3
    assert cli("data", "check", "nothing").code == 3
    assert cli("data", "add", "nowhere", "--name", "x").code == 3


def adding(folder: Path, machine: Path) -> "subprocess.Popen[str]":
    """Start `data add` of 20,001 images with two workers, in a new process group, as a shell does."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (folder / "a").mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "a" / "0.png")
    for number in range(1, 20_000):
        os.link(folder / "a" / "0.png", folder / "a" / f"{number}.png")
    (folder / "b").mkdir()
    os.link(folder / "a" / "0.png", folder / "b" / "0.png")
    environment = os.environ | {"RESNETCTL_THREADS": "2", "RESNETCTL_DATA_DIR": str(machine / "store")}
    command = [sys.executable, "-m", "resnetctl", "data", "add", str(folder), "--name", "many"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def messages(err: str) -> list[str]:
    """Return the lines that are not progress: the number of progress lines depends on the speed."""
    return [line for line in err.splitlines() if not line.startswith(("reading ", "adding many"))]


def workers_of(pid: int) -> list[int]:
    """Return the two worker processes of `pid`. Waits until both have started."""
    for _ in range(3000):
        workers = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        if len(workers) == 2:
            return workers
        time.sleep(0.02)
    raise AssertionError("no workers came up")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_while_workers_decode_leaves_no_worker_and_no_half(machine: Path, signum: signal.Signals) -> None:
    """Ctrl-C reaches the whole process group: no worker stays, no half dataset, and one message is printed."""
    with adding(machine / "photos", machine) as process:
        workers = workers_of(process.pid)
        time.sleep(0.5)
        os.killpg(process.pid, signum)
        _, err = process.communicate(timeout=60)
    killed = signum == signal.SIGKILL
    assert process.returncode == (-signum if killed else 128 + signum)
    stopped = [] if killed else [f"stopped: {signum.name} received; nothing is left half-written"]
    assert messages(err) == stopped
    kept = [path.name for path in (machine / "store").iterdir() if not path.name.startswith(".tmp-resnetctl-")]
    assert (kept, len(list((machine / "store").iterdir()))) == ([], killed)
    for _ in range(1000):
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            break
        time.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_killed_worker_is_one_clear_error(machine: Path) -> None:
    with adding(machine / "photos", machine) as process:
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    first, where, hint = messages(err)
    assert first == "error: a worker process ended with SIGKILL, perhaps because the memory ran out"
    assert where.startswith("  where  a/")
    assert hint == "  try    RESNETCTL_THREADS=1 does the same in one process, with less memory"
    assert not list((machine / "store").iterdir())


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 2)])
def test_remove_asks_on_a_terminal(
    cli: Cli, photos: Path, terminal: None, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    cli("data", "add", "photos", "--name", "pets")
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)
    result = cli("data", "remove", "pets")
    assert result.code == code
    assert "Remove 'pets' from " in result.err
    assert cli("data", "show", "pets").code == (3 if code == 0 else 0)


def test_remove_without_a_terminal_needs_yes(cli: Cli, photos: Path) -> None:
    cli("data", "add", "photos", "--name", "pets")
    result = cli("data", "remove", "pets")
    assert (result.code, "try    --yes" in result.err) == (2, True)
    assert cli("data", "show", "pets").code == 0
    assert cli("data", "remove", "pets", "--yes", "--json").json()["name"] == "pets"
