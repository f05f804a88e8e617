"""Run folders are written whole, by one process at a time."""

import concurrent.futures
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resnetctl import runs
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.errors import ConfigError, InputError, UsageError
from resnetctl.hints import Call
from resnetctl.runs.group import create_group
from resnetctl.system import storage


def make(folder: Path, name: str | Iterator[str] = "one") -> runs.RunDir:
    return runs.create(folder, name, config="epochs = 1\n", sources={"epochs": "flag --epochs"}, env={"a": 1})


def test_a_run_appears_whole_and_last_points_at_it(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert run.config.read_text() == "epochs = 1\n"
    assert run.sources() == {"epochs": "flag --epochs"}
    assert json.loads((run.path / "env.json").read_text()) == {"created": run.created(), "a": 1}
    assert (tmp_path / "last").resolve() == run.path.resolve()
    make(tmp_path, "two")
    assert (tmp_path / "last").resolve().name == "two"


def test_create_leaves_no_temporary_files(tmp_path: Path) -> None:
    make(tmp_path / "runs")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["last", "one"]


def test_create_refuses_the_name_of_an_existing_run(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(UsageError, match="exists, unfinished") as caught:
        make(tmp_path)
    assert caught.value.hint[1] == Call("train", settings={"resume": tmp_path / "one"}, note="goes on with it")
    (tmp_path / "one" / "summary.json").write_text("{}")
    with pytest.raises(UsageError, match=r"the run 'one' exists \(") as caught:
        make(tmp_path)
    assert caught.value.hint[1] == Call("runs show", ("one",)), "a finished run has nothing to resume"


def test_a_name_that_a_group_has_leads_to_the_group(tmp_path: Path) -> None:
    create_group(tmp_path, "five", plan={"keys": [], "points": {"0": {}}}, configs={"0-seed0": ""})
    with pytest.raises(UsageError, match="'five' is a group of runs already") as caught:
        runs.free_path(tmp_path, "five")
    assert caught.value.hint[1] == Call("sweep show", (tmp_path / "five",))


@pytest.mark.parametrize("name", ["", ".", "..", "last", "a/b", "../x", ".hidden", "-x"])
def test_names_that_are_not_plain_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a run"):
        runs.free_path(tmp_path, name)


def test_automatic_names_are_free(tmp_path: Path) -> None:
    names = runs.automatic_names(tmp_path, arch="resnet20", data="digits")
    first = next(names)
    assert first.endswith("-resnet20-digits")
    make(tmp_path, f"{first}-2")
    assert next(names) == f"{first}-3"


def create_at_once(number: int, folder: Path) -> str:
    """Create a run while 15 others do; all of them try the same names."""
    while time.time() < START.value:
        time.sleep(0.001)
    return make(folder / "runs", iter(f"name-{place}" for place in range(99))).path.name


def wait_until(start: "multiprocessing.sharedctypes.Synchronized[float]") -> None:
    global START
    START = start


@pytest.mark.parametrize("pool", [concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor])
def test_sixteen_runs_created_at_once_get_sixteen_names(tmp_path: Path, pool: Any) -> None:
    start = multiprocessing.Value("d", time.time() + 1)
    options = {"initializer": wait_until, "initargs": (start,)}
    if pool is concurrent.futures.ProcessPoolExecutor:
        options["mp_context"] = multiprocessing.get_context("fork")
    with pool(16, **options) as executor:
        names = list(executor.map(create_at_once, range(16), [tmp_path] * 16))
    assert sorted(names) == sorted(f"name-{place}" for place in range(16))
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {*names, "last"}
    assert (tmp_path / "runs" / "last").resolve().name in names
    assert all(run.created() for run in runs.all_runs(tmp_path / "runs"))


def test_a_folder_that_cannot_be_written_ends_the_search_for_a_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write"):
        make(tmp_path / "file", iter(["one", "two"]))


def test_truncate_cuts_both_logs_and_half_written_lines(tmp_path: Path) -> None:
    run = make(tmp_path)
    for epoch in (1, 2, 3):
        run.log({"epoch": epoch}, {"epoch": epoch, "seconds": 0.1})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "tr')  # a killed process
    assert [line["epoch"] for line in run.metrics()] == [1, 2, 3]
    run.truncate(2)
    assert (run.path / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    assert len(run.timings()) == 2


def test_the_start_time_of_a_run_is_in_utc(tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert before <= datetime.fromisoformat(make(tmp_path).created()) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", "3", '{"created": null}', '{"created": ["x"]}', '{"created": "soon"}']
)
def test_an_unreadable_start_time_is_empty(tmp_path: Path, content: str) -> None:
    run = make(tmp_path)
    (run.path / "env.json").write_text(content)
    assert run.created() == ""


def _hold(path: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with runs.RunDir(path).locked():
        ready.set()
        time.sleep(60)


def test_a_run_has_one_writer_and_its_lock_ends_with_the_process(tmp_path: Path) -> None:
    run = make(tmp_path)
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=_hold, args=(run.path, ready))
    other.start()
    try:
        assert ready.wait(20)
        with pytest.raises(UsageError, match="in use by another process"), run.locked():
            pass
    finally:
        other.kill()
        other.join()
    with run.locked():
        pass


def test_locking_a_run_removes_leftovers_of_a_killed_process(tmp_path: Path) -> None:
    run = make(tmp_path)
    stale = run.path / "checkpoints" / (storage.TEMPORARY + "abc")
    stale.write_bytes(b"half")
    with run.locked():
        assert not stale.exists()


def test_an_unreadable_document_is_an_input_error(tmp_path: Path) -> None:
    run = make(tmp_path)
    (run.path / "summary.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        run.summary()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot write"):
        make(tmp_path)


def test_results_are_written_to_their_documented_files(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert run.write_eval("digits-test", {"top1": 1.0}) == run.path / "eval" / "digits-test.json"
    assert run.write_onnx(b"onnx") == run.path / "export" / "model.onnx"
    run.write_pass("a-b", b"pass")
    assert run.pass_file("a-b") == run.path / "report" / "a-b.safetensors"
    assert run.pass_file("a-b").read_bytes() == b"pass"
    assert run.write_onnx(b"onnx", raw=True) == run.path / "export" / "model-raw.onnx"
    assert run.write_onnx(b"onnx", int8=True) == run.path / "export" / "model-int8.onnx"
    assert run.summary() is None
    run.save_summary({"status": "finished"})
    assert run.summary() == {"status": "finished"}
    run.save_failure("x", ["y"])
    assert run.failure() is None  # it has finished since
    run.reopen()
    assert (run.summary(), run.failure()) == (None, None)


def test_an_unreadable_failure_is_an_empty_message(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.save_failure("x", ["y"])
    assert run.failure() == "x"
    (run.path / "failure.json").write_text("{")
    assert run.failure() == ""


def test_a_config_with_weights_is_read_as_finetune(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.config.write_text("lr = 0.2\n")
    assert (type(run.read_config()), run.read_config().lr) == (TrainConfig, 0.2)
    run.config.write_text('weights = "base"\n')
    assert type(run.read_config()) is FinetuneConfig


@pytest.mark.parametrize("text", ["lr = \n", "lr = -1\n", None])
def test_an_unreadable_config_is_an_error_that_names_the_file(tmp_path: Path, text: str | None) -> None:
    run = make(tmp_path)
    run.config.unlink() if text is None else run.config.write_text(text)
    with pytest.raises(ConfigError, match="config") as caught:
        run.read_config()
    assert str(run.config) in str(caught.value)


@pytest.mark.parametrize("name", ["../../../X-test", "a/b", "", "..", ".x", "a\\b", "a\0b"])
def test_an_evaluation_is_never_written_outside_the_run(tmp_path: Path, name: str) -> None:
    run = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="cannot name an evaluation"):
        run.write_eval(name, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_evaluations_are_read_back_by_name_without_damaged_ones(tmp_path: Path) -> None:
    run = runs.RunDir(tmp_path)
    run.write_eval("digits-test", {"top1": 0.5})
    (tmp_path / "eval" / "broken.json").write_text("{")
    assert run.evals() == {"digits-test": {"top1": 0.5}}


def test_an_environment_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    run = runs.create(tmp_path, "one", config="", sources={}, env={"python": "3.13"})
    assert run.environment()["python"] == "3.13"
    (run.path / "env.json").write_text("[]")
    assert run.environment() == {}
