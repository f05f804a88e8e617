import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.datasets import tiny

import resnetctl as rc
from resnetctl.errors import InputError, ResnetctlWarning, UsageError
from resnetctl.facts import Finished
from resnetctl.system import settings


@pytest.fixture
def run():
    tiny(settings.load().data_dir)
    return rc.train(data="tiny", arch="resnet20", epochs=2, set={"model.block_args": {"shortcut": "B"}}, name="one")


def test_the_functions_lead_from_data_to_an_onnx_file(run, tmp_path: Path) -> None:
    assert run.path == Path("runs/one")
    assert run.summary["epochs"] == 2
    outcome = rc.evaluate(run)
    assert outcome.report.count == 15
    exported = rc.export(run)
    assert exported.path.name == "model.onnx"
    assert rc.evaluate(exported.path).report.correct == outcome.report.correct
    model, card = rc.load(run)
    assert not model.training
    assert card.arch.block_args["shortcut"] == "B"


def test_finetune_starts_from_a_run_object(run) -> None:
    tiny(settings.load().data_dir, "other", classes=("a", "b"), train=20, test=4)
    assert rc.finetune(run, data="other", epochs=1, name="two").summary["data"] == "other"


def test_out_chooses_the_folder_of_a_finetune_run(run) -> None:
    tiny(settings.load().data_dir, "other", classes=("a", "b"), train=20, test=4)
    assert rc.finetune(run, data="other", epochs=1, name="two", out="elsewhere").path == Path("elsewhere/two")


def test_the_origin_of_a_value_names_its_argument(run) -> None:
    sources = json.loads((run.path / "config.sources.json").read_text())
    assert sources["epochs"] == "argument epochs"


def test_resume_goes_on_with_a_run(run) -> None:
    assert rc.resume(run, epochs=3).summary["epochs"] == 3
    assert rc.resume("one").summary["epochs"] == 3  # finished: nothing is done
    with pytest.raises(InputError, match="no run 'two'"):
        rc.resume("two")


def test_runs_lists_every_run_although_a_module_has_this_name(run, tmp_path: Path) -> None:
    (found,) = rc.runs()
    assert (found.path, found.summary) == (run.path, run.summary)
    assert rc.runs(tmp_path / "none") == []
    import resnetctl.runs

    assert resnetctl.runs() == [found]
    code = "import resnetctl as rc; print([item.path.name for item in rc.runs()])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['one']\n"


def test_predict_returns_guesses_for_files(run) -> None:
    from PIL import Image

    Image.new("L", (8, 8), 230).save("bright.png")
    [result] = rc.predict(run, ["bright.png"], top=2)
    assert len(result["predictions"]) == 2
    assert {"class", "probability"} <= set(result["predictions"][0])


def test_an_unknown_argument_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="unknown argument 'epoch'") as caught:
        rc.train(data="tiny", epoch=1)
    assert "epochs" in caught.value.hint[0]


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rc.nonsense


def test_importing_the_package_loads_no_other_module() -> None:
    code = "import sys; before = set(sys.modules); import resnetctl; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("['__future__', 'resnetctl']", "['resnetctl']")


def test_a_budget_is_a_time_or_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetctl.tasks import train

    requests = []
    monkeypatch.setattr(
        train, "train", lambda draft, machine: (requests.append(draft.request), [Finished(run=Path(), summary={})])[1]
    )
    rc.train(data="tiny", budget="1h30min", tune=True)
    rc.train(data="tiny", budget=90)
    assert [(item.budget, item.tune) for item in requests] == [(5400.0, True), (90.0, False)]
    with pytest.raises(UsageError, match="budget should be a time such as"):
        rc.train(data="tiny", budget="soon")


def test_bench_returns_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetctl.tasks.bench import bench

    def task(draft, machine, *, compiled):
        yield "a fact"
        return draft.asked.values, compiled

    monkeypatch.setattr(bench, "bench", task)
    assert rc.bench(arch="resnet56", compiled=True) == ({"model.arch": "resnet56"}, True)
    with pytest.raises(UsageError, match="unknown argument"):
        rc.bench(speed=3)


# ---- wrong arguments


def test_notices_are_warnings_at_the_line_of_the_caller(run) -> None:
    (run.path / "summary.json").unlink()
    with pytest.warns(ResnetctlWarning, match="not finished") as caught:
        rc.evaluate(run)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.evaluate("one", split="foo"), "'foo' is no split to measure"),
        (lambda: rc.evaluate("one", min_balanced_accuracy=75), "a limit is a fraction between 0 and 1, not 75"),
        (lambda: rc.evaluate("one", min_acc=0.5), "unknown argument 'min_acc'"),
        (lambda: rc.export("one", gate="x"), "'x' is no gate"),
        (lambda: rc.Predictor(3), "not a int"),
        (lambda: rc.predict("one", "cat.png", top=0), "0 classes cannot be listed"),
        (lambda: rc.train(set=["optim.lr=3"]), "set takes a dict"),
        (lambda: rc.resume("one", epochs=0), "a whole number of epochs, not 0"),
        (lambda: rc.resume("one", epochs="x"), "a whole number of epochs, not 'x'"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        call()


def test_train_points_to_resume() -> None:
    with pytest.raises(UsageError) as caught:
        rc.train(resume="last")
    assert "rc.resume('last')" in str(caught.value)


def test_the_package_lists_its_verbs() -> None:
    assert {"train", "resume", "predict", "Predictor", "__version__"} <= set(dir(rc))
    assert all(hasattr(rc, name) for name in dir(rc))


SCRIPT = """
from pathlib import Path

import resnetctl as rc

run: rc.Run = rc.train(data="digits", arch="resnet20", epochs=1, set={"optim.nesterov": False})
run = rc.resume(run, epochs=2)
run = rc.finetune(run, data="./photos", freeze="backbone")
seeds: dict[int, float] = dict(rc.sweep("lr.toml", halving=3).settings[0].seeds)
top1: float = rc.evaluate(run, split="val").report.top1
insertion: float = rc.explain(run, "cat.jpg", method="layercam").results[0].score.insertion
temperature: float = rc.report(run, against="runs/old", ood=["noise"]).assessment.calibration.temperature
path: Path | None = rc.export(run.path, gate="synthetic").path
small: Path = rc.compress(run, out="small.safetensors", speedup=2).path
model, card = rc.load(run)
classes: tuple[str, ...] = card.classes
channels: dict[str, int] = rc.backbone("resnet18", ("stem", "layer4"), output_stride=16).channels
predictor = rc.Predictor(run, top=2, device="cpu")
for result in (*predictor("cat.jpg"), *predictor([Path("cat.jpg"), b"", "x"]), *rc.predict(run, "cat.jpg", top=3)):
    text: str = result["predictions"][0]["class"] if not result["problem"] else result["problem"]
losses: list[float] = [epoch["train_loss"] for run in rc.runs() for epoch in run.history]
for fact in rc.stream.train(data="digits", epochs=1):
    print(fact)
proposal: float | None = rc.find_lr(data="digits", batch_size=64).proposal
print(rc.bench(arch="resnet56").to_json(), model.training, rc.__version__)
"""


def test_mypy_strict_passes_on_a_script_with_every_function_and_finds_wrong_calls(tmp_path: Path) -> None:
    assert all(f"rc.{name}" in SCRIPT for name in rc.__all__)
    wrong = [
        "rc.predict()",
        "rc.load(3)",
        "rc.nonsense",
        'rc.resume("one", epochs="3")',
        "rc.train().nonsense",
        "rc.runs(3)",
    ]
    (tmp_path / "good.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text("\n".join(["import resnetctl as rc", *wrong]))
    argv = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={tmp_path}",
        "good.py",
        "wrong.py",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [int(line.split(":")[1]) for line in lines] == [2, 3, 4, 5, 6, 7], done.stdout + done.stderr
    assert all(line.startswith("wrong.py:") for line in lines)


def test_a_sweep_returns_its_report_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    tiny(settings.load().data_dir)
    Path("lr.toml").write_text('seeds = 2\n[config]\ndata = "tiny"\nepochs = 1\n[vary]\nlr = [0.1, 0.01]\n')
    report = rc.sweep("lr.toml")
    assert report.states["finished"] == 4
    assert [len(setting.seeds) for setting in report.settings] == [2, 2]
    assert report.settings[1].against_best is not None
    assert "<svg" in report.plot().decode()
    assert "lr 0.1" in report._repr_html_()
    assert rc.sweep("lr") == report
    with pytest.raises(UsageError, match="exists"):
        rc.sweep("lr.toml")
    with pytest.raises(InputError, match="no group"):
        rc.sweep("other")
