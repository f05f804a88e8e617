"""The package as a whole: what it offers, what it loads, and its types."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import resnetctl as rc
from resnetctl.errors import UsageError

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rc.nonsense


def test_importing_the_package_loads_no_other_module() -> None:
    code = "import sys; before = set(sys.modules); import resnetctl; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("['__future__', 'resnetctl']", "['resnetctl']")


@pytest.mark.parametrize("name", ["errors.UsageError", "facts.EpochTimed", "spec.Arch"])
def test_modules_that_the_docs_name_are_reached_without_a_verb(name: str) -> None:
    code = f"import resnetctl as rc, sys; print(rc.{name}.__name__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [name.partition(".")[2], "False"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.evaluate("one", split="foo"), "'foo' is no split to measure"),
        (lambda: rc.evaluate("one", min_balanced_accuracy=75), "a limit is a fraction between 0 and 1, not 75"),
        (lambda: rc.evaluate("one", min_acc=0.5), "unknown argument 'min_acc'"),
        (lambda: rc.export("one", gate="x"), "'x' is no gate"),
        (lambda: rc.Predictor(3), "not an int"),
        (lambda: rc.predict("one", "cat.png", top=0), "0 classes cannot be listed"),
        (lambda: rc.train(set=["optim.lr=3"]), "set takes a dict"),
        (lambda: rc.train(set={3: 1}), "set takes a dict"),
        (lambda: rc.train(name=5), "name takes a text, not 5"),
        (lambda: rc.train(recipe=3), "recipe takes a text, not 3"),
        (lambda: rc.train(config={"lr": 1}), "config takes a text or a path, not a dict"),
        (lambda: rc.train(out=5), "out takes a text or a path, not 5"),
        (lambda: rc.train(tune="yes"), "tune takes True or False, not 'yes'"),
        (lambda: rc.stream.finetune("one", name=3), "name takes a text, not 3"),
        (lambda: rc.predict("one", "cat.png", top="3"), "top takes a whole number, not '3'"),
        (lambda: rc.predict("one", "cat.png", set="0.9"), "set takes a number, not '0.9'"),
        (lambda: rc.predict("one", "cat.png", max_pixels="1e6"), "max_pixels takes a whole number, not '1e6'"),
        (lambda: rc.compress("one", speedup="2x"), "speedup takes a number, not '2x'"),
        (lambda: rc.evaluate("one", data=5), "data takes a text or a path, not 5"),
        (lambda: rc.evaluate("one", min_accuracy=True), "min_accuracy takes a number, not True"),
        (lambda: rc.explain("one", None), "images takes a text or a path or a list of texts or paths, not None"),
        (lambda: rc.explain("one", b"png"), "not bytes"),
        (lambda: rc.backbone("resnet20", 3), "out takes a text or a list"),
        (lambda: rc.resume("one", epochs=0), "a whole number of epochs, not 0"),
        (lambda: rc.resume("one", epochs="x"), "epochs takes a whole number, not 'x'"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        call()


def test_the_package_lists_its_verbs() -> None:
    assert {"train", "resume", "predict", "Predictor", "__version__"} <= set(dir(rc))
    assert all(hasattr(rc, name) for name in dir(rc))


SCRIPT = """
from pathlib import Path

import resnetctl as rc

run: rc.Run = rc.train(data="digits", arch="resnet20", epochs=1, set={"optim.nesterov": False})
run = rc.resume(run, epochs=2)
run = rc.finetune(run, data=Path("photos"), freeze="backbone")
seeds: dict[int, float] = dict(rc.sweep("lr.toml", halving=3).settings[0].seeds)
top1: float = rc.evaluate(run, data=Path("photos"), split="val").report.top1
insertion: float = rc.explain(run, "cat.jpg", method="layercam").results[0].score.insertion
temperature: float = rc.report(run, against="runs/old", ood=["noise"]).assessment.calibration.temperature
path: Path | None = rc.export(run.path, gate="synthetic").path
small: Path = rc.compress(run, out="small.safetensors", data=Path("photos"), speedup=2).path
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
arch: rc.spec.Arch = card.arch
try:
    finished: list[rc.facts.Finished] = [fact for fact in rc.stream.resume(run) if isinstance(fact, rc.facts.Finished)]
except rc.errors.UsageError as error:
    print(error.hint)
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
    for page in ("python-api", "report"):
        examples = re.findall(r"^```python\n(.*?)^```", (HOW_TO / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
        code = "\n".join(["# mypy: disable-error-code=name-defined", *examples])  # `numpy_array` stands for an array
        (tmp_path / f"{page.replace('-', '_')}.py").write_text(code)
    (tmp_path / "wrong.py").write_text("\n".join(["import resnetctl as rc", *wrong]))
    argv = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={tmp_path}",
        "good.py",
        "python_api.py",
        "report.py",
        "wrong.py",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [int(line.split(":")[1]) for line in lines] == [2, 3, 4, 5, 6, 7], done.stdout + done.stderr
    assert all(line.startswith("wrong.py:") for line in lines)
