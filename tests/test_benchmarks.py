"""The scripts of `benchmarks/`: their arithmetic, their gate, and one real program on the smallest scale."""

import argparse
import ast
import contextlib
import dataclasses
import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.datasets import tiny

from resnetctl.data.store import open_store
from resnetctl.system import settings

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
NAMES = (
    "compare",
    "growth",
    "machine",
    "report",
    "worker",
    "programs",
    "augmentation",
    "resize",
    "finetune",
    "photo_sets",
    "fuse",
    "gpu",
    "step_profile",
)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The modules as the scripts import them; removed from `sys.modules` afterwards, as their names are plain words."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import compare
    import finetune
    import fuse
    import growth
    import machine
    import photo_sets
    import report
    import resize
    from programs import parity, task

    yield SimpleNamespace(
        compare=compare, growth=growth, machine=machine, report=report, resize=resize, parity=parity, task=task,
        finetune=finetune, fuse=fuse, photo_sets=photo_sets,
    )  # fmt: skip
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]


@pytest.fixture
def task(scripts: SimpleNamespace, tmp_path: Path) -> Any:
    """A task on 64 noisy pictures; the dataset `coded` has 2,048 coded ones."""
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    pairs = zip(images, np.arange(64) % 10, strict=True)
    scripts.compare.store_pictures(tmp_path, "noise", pairs, classes=10)
    coded = zip(scripts.parity.coded(2048), np.arange(2048) % 10, strict=True)
    scripts.compare.store_pictures(tmp_path, "coded", coded, classes=10)
    task = scripts.task.Task(
        program="resnetctl", variant="", arch="resnet20", data_dir=str(tmp_path), data="noise",
        weights=str(tmp_path / "first.safetensors"), runs=str(tmp_path / "runs"), batch=32, threads=1,
    )  # fmt: skip
    scripts.compare.first_weights(task)
    return task


def sample(images: int, seconds: float, *, foreign: float = 0.0) -> dict[str, float]:
    return {"images": images, "seconds": seconds, "cpu": 2 * seconds, "foreign": foreign}


def measurement() -> dict[str, Any]:
    """A measurement: resnetctl at 300 and 400 images/s, the reference at 200."""
    return {
        "about": {
            "command": "python benchmarks/compare.py", "date": "2026-01-01", "hardware": "a processor, 2 cores",
            "versions": "Python 3", "threads": 2, "batch": 128, "rounds": 2, "seconds": 5.0, "data": "pictures",
            "small": 5000,
        },
        "variants": {"resnetctl": "", "reference": "2 workers"},
        "parity": {"resnet20": {name: {"logits": 1e-7, "augmentation": 0.5} for name in ("resnetctl", "reference")}},
        "steady": {
            "resnet20": {
                "samples": {
                    "resnetctl": [sample(600, 2), sample(800, 2)],
                    "reference": [sample(400, 2), sample(400, 2, foreign=0.5)],
                },
                "peaks": [{"sgemm": 100.0, "copy": 20.0}] * 2,
                "flops": 100_000_000,
            }
        },
        "epoch": {"resnetctl": [10.0, 10.0], "reference": [15.0, 17.0]},
        "shares": {"resnet20": [0.01, 0.02]},
        "augmentation": {"standard": {"Pillow, per image": [2000.0] * 2, "resnetctl, per batch": [50_000.0] * 2}},
    }  # fmt: skip


# ---- the page


def test_a_ratio_is_taken_within_its_round(scripts: SimpleNamespace) -> None:
    page = scripts.report.page(measurement())
    assert "| **resnetctl** | 350 (325-375) |  | 175 (162-188) |  | 0.00 (0.00-0.00) |" in page
    line = "| torchvision's reference loop, 2 workers | 200 (200-200) | **1.75 (1.62-1.88)** | 100 (100-100) |"
    assert line in page
    assert "| torchvision's reference loop | 16.0 (15.5-16.5) | **1.60 (1.55-1.65)** |" in page
    assert "resnet20: gather, augment and normalise take 1.50% (1.25%-1.75%) of a step" in page
    assert "| standard | resnetctl, per batch | 50,000 (50,000-50,000) | 25.0 (25.0-25.0) |" in page


def test_the_page_gives_the_share_of_the_peak_and_the_disturbed_samples(scripts: SimpleNamespace) -> None:
    facts = measurement()
    assert "resnetctl reaches 35% of the matrix product" in scripts.report.page(facts)
    assert "during 1 of 4 samples others used more than 0.15 cores" in scripts.report.page(facts)
    facts["steady"]["resnet20"]["samples"]["reference"][1]["foreign"] = 0.1
    assert "Not a quiet machine" not in scripts.report.page(facts)


def test_the_page_has_no_trailing_spaces_and_no_paths(scripts: SimpleNamespace) -> None:
    assert all(" \n" not in line and "/tmp" not in line for line in scripts.report.page(measurement()).splitlines())


def test_one_value_has_no_spread(scripts: SimpleNamespace) -> None:
    assert scripts.report.quartiles([3.0]) == (3.0, 3.0, 3.0)
    assert scripts.report.spread([1.0, 2.0, 3.0], ".1f") == "2.0 (1.5-2.5)"


# ---- the gate


def moved(scripts: SimpleNamespace, down: Any, right: Any, mirrored: Any) -> Any:
    """Return coded pictures, moved and mirrored, as a network gets them without normalisation."""
    return (scripts.parity._moved(mirrored, down, right) / 255).transpose(0, 3, 1, 2)


PLAIN = (np.zeros(3), np.ones(3))


def test_moves_are_counted_by_place_and_mirroring(scripts: SimpleNamespace) -> None:
    down, right, mirrored = np.array([0, 8, 4]), np.array([8, 1, 4]), np.array([False, True, False])
    counts = scripts.parity.moves(moved(scripts, down, right, mirrored), *PLAIN)
    assert counts.sum() == 3
    assert (counts[0, 0, 8], counts[1, 8, 1], counts[0, 4, 4]) == (1, 1, 1)


def test_only_uniform_moves_pass(scripts: SimpleNamespace) -> None:
    draw = np.random.default_rng(1)
    down, right = draw.integers(0, 9, (2, 8192))
    mirrored = draw.random(8192) < 0.5
    fair = scripts.parity.moves(moved(scripts, down, right, mirrored), *PLAIN)
    assert scripts.parity.distance(fair) < 4
    never = scripts.parity.moves(moved(scripts, down, right, np.zeros(8192, bool)), *PLAIN)
    assert scripts.parity.distance(never) > scripts.parity.SIGMAS
    by_batch = np.repeat(draw.integers(0, 9, 64), 128)  # one place for each batch
    together = scripts.parity.moves(moved(scripts, by_batch, right, mirrored), *PLAIN)
    assert scripts.parity.distance(together) > scripts.parity.SIGMAS


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda images: images + 0.001, "whole levels"),
        (lambda images: np.roll(images, 3, axis=3), "more than 4 pixels|only moved"),
        (lambda images: np.where(np.arange(32) < 1, 1.0, images), "only moved"),
    ],
)
def test_pictures_that_are_not_moved_copies_are_refused(
    scripts: SimpleNamespace, spoil: Callable[[Any], Any], words: str
) -> None:
    images = moved(scripts, np.array([4, 8]), np.array([8, 8]), np.array([False, False]))
    with pytest.raises(ValueError, match=words):
        scripts.parity.moves(spoil(images), *PLAIN)


@pytest.mark.parametrize(
    ("program", "variant", "needs"),
    [
        ("reference", "0 workers", "torch"),
        pytest.param("reference with our network", "0 workers", "torch", marks=pytest.mark.certify),
        pytest.param("timm", "0 workers", "timm", marks=pytest.mark.certify),
        pytest.param("lightning", "0 workers", "lightning", marks=pytest.mark.certify),
        pytest.param("keras", "channels_first", "keras", marks=pytest.mark.certify),
        pytest.param("keras", "channels_last", "keras", marks=pytest.mark.certify),
    ],
)
def test_every_program_computes_the_same(
    scripts: SimpleNamespace, task: Any, program: str, variant: str, needs: str
) -> None:
    if find_spec(needs) is None:
        pytest.skip(f"{needs} of benchmarks/requirements.txt is not installed")
    coded = dataclasses.replace(task, data="coded")
    pictures = Path(task.data_dir) / "pictures.npy"
    np.save(pictures, np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
    expected, _ = scripts.compare.outputs(coded, pictures)
    logits, counts = scripts.compare.outputs(dataclasses.replace(coded, program=program, variant=variant), pictures)
    assert scripts.parity.relative(logits, expected) < scripts.parity.TOLERANCE
    assert scripts.parity.distance(counts) < scripts.parity.SIGMAS


def test_different_logits_end_the_run(scripts: SimpleNamespace, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(np.ones((1, 2)), np.full((2, 9, 9), 50)), (np.full((1, 2), 1.1), np.full((2, 9, 9), 50))]
    monkeypatch.setattr(scripts.compare, "outputs", lambda task, pictures: answers.pop(0))
    with pytest.raises(SystemExit, match="reference does not compute the same"):
        scripts.compare.check([task, dataclasses.replace(task, program="reference")], Path(task.data_dir))


# ---- the clock


def test_a_sample_counts_whole_steps_after_the_refill(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    answers = io.StringIO()
    step = scripts.task.metered(io.StringIO("0.02\n"), answers, warm_up=2)
    taken = 0
    with contextlib.suppress(SystemExit):
        while True:
            time.sleep(0.01)
            taken += 1
            step(10)
    ready, counted = map(json.loads, answers.getvalue().splitlines())
    assert ready == {"ready": True}
    assert counted["images"] == 10 * (taken - 2 - scripts.task.REFILL)
    assert counted["seconds"] >= 0.02


def test_the_load_of_others_is_what_the_cores_did_beyond_us(scripts: SimpleNamespace) -> None:
    before, after = scripts.machine.Reading(0.0, 1.0, 10.0), scripts.machine.Reading(2.0, 3.0, 15.0)
    assert after.since(before) == {"seconds": 2.0, "cpu": 2.0, "foreign": 1.5}
    idle = dataclasses.replace(after, busy=11.9)  # the kernel's ticks are coarse
    assert idle.since(before)["foreign"] == 0.0


def test_the_cpu_time_of_children_is_ours(scripts: SimpleNamespace) -> None:
    before = scripts.machine.read()
    work = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert scripts.machine.read().since(before)["cpu"] >= 0.25
        child.communicate(b"\n")


def test_the_machine_has_a_rate_and_a_name(scripts: SimpleNamespace) -> None:
    assert scripts.machine.sgemm(64, seconds=0.01) > 0
    assert scripts.machine.copy(1, seconds=0.01) > 0
    assert scripts.machine.hardware().endswith("cores")
    assert scripts.machine.versions("numpy", "no-such-distribution").endswith(f"numpy {np.__version__}")


# ---- whole


def test_a_program_trains_when_it_is_asked(scripts: SimpleNamespace, task: Any) -> None:
    """The task behind `resnetctl train` in a process of its own, stopped in the middle of it."""
    with scripts.compare.running([task]) as (program,):
        first, second = program.sample(0.01), program.sample(0.01)
    assert first.images >= 32
    assert second.images % 32 == 0
    assert second.seconds > 0


@pytest.mark.certify
def test_a_program_that_fails_is_told(scripts: SimpleNamespace, task: Any) -> None:
    broken = dataclasses.replace(task, program="reference", variant="0 workers", weights="missing")
    with (
        pytest.raises(SystemExit, match=r"reference \(0 workers\) ended with exit code 1"),
        scripts.compare.running([broken]),
    ):
        pass


@pytest.mark.certify
def test_the_pipeline_is_a_small_share_of_a_step(scripts: SimpleNamespace, task: Any) -> None:
    (share,) = scripts.compare.shares(task, 1)
    assert 0 < share < 1


def test_ours_trains_in_fp32_beside_others_also_where_auto_is_bf16(
    scripts: SimpleNamespace, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnetctl.engine.hardware import precision

    monkeypatch.setattr(precision, "bf16_instructions", lambda: "amx_bf16")
    assert import_module("programs.ours").Program(task).job().config.precision == "fp32"
    calls: list[list[str]] = []
    monkeypatch.setattr(scripts.compare.subprocess, "run", lambda command, **_: calls.append(command))
    scripts.compare._command(task, "one")
    assert " ".join(calls[0]).endswith("--precision fp32")


def test_the_parts_of_a_profiled_step_add_up(scripts: SimpleNamespace, task: Any) -> None:
    step_profile = import_module("step_profile")
    parts = step_profile.profiled(dataclasses.replace(task, batch=16), 1)
    whole = parts.pop(step_profile.ALL)
    assert sum(parts.values()) == pytest.approx(whole)
    assert parts["convolutions"] > 0
    assert parts["norms"] > 0


@pytest.mark.certify
def test_growth_measures_stores_and_archs(
    scripts: SimpleNamespace, task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("BATCHES", 2), ("STEPS", 1), ("SECONDS", 0.01)):
        monkeypatch.setattr(scripts.growth, name, value)
    options = argparse.Namespace(
        sizes=[40, 80], rounds=2, batch=32, archs=["resnet20"], arch_batch=4, threads=1, data="noise"
    )
    sizes = scripts.growth.data_sets(task, tmp_path, options=options)
    assert [(growth.pictures, len(growth.inputs), len(growth.steps)) for growth in sizes] == [(40, 2, 2), (80, 2, 2)]
    speeds = scripts.growth.archs(task, options)
    assert [round(1e3 * one["gflops"] / one["images"]) for one in speeds["resnet20"]] == [242, 242]  # MFLOP an image
    page = scripts.growth.page(sizes, speeds, options)
    assert "| resnet20 | 242 |" in page
    assert "\n| 80 |" in page


def test_the_resize_benchmark_compares_pixels_and_times(scripts: SimpleNamespace) -> None:
    assert scripts.resize.differences("nearest", 32, 24) == "| nearest | 32 | 24 |" + " 0, 0.00% |" * 4
    pillow, ours = scripts.resize.timed("bilinear", 32, 24, rounds=2)
    assert len(pillow) == len(ours) == 2
    assert min(*pillow, *ours) > 0
    assert scripts.resize.time_row("bilinear", 32, 24, [2.0], [1.0]).endswith("| 2.0 (2.0-2.0) |")


def test_a_photo_set_has_equally_many_images_of_each_class(scripts: SimpleNamespace, tmp_path: Path) -> None:
    def images(part: str) -> Iterator[tuple[str, Image.Image]]:
        yield from ((f"class {number % 2}", Image.new("L", (8, 8), number)) for number in range(12))

    scripts.photo_sets.write(scripts.photo_sets.PhotoSet(name="grey", size=4, train=5, test=2, images=images), tmp_path)
    assert {part: len(list((tmp_path / part).rglob("*.png"))) for part in ("train", "test")} == {"train": 5, "test": 2}
    assert len(list((tmp_path / "train" / "class 0").iterdir())) == 3
    with Image.open(tmp_path / "test" / "class 1" / "0000.png") as image:
        assert image.size == (4, 4)


def test_the_finetune_benchmark_tabulates_mean_and_spread(scripts: SimpleNamespace) -> None:
    results = [{"set": "pets", "way": "ours", "seed": seed, "top1": top1} for seed, top1 in enumerate((0.5, 0.7))]
    assert scripts.finetune.table(results).splitlines() == [
        "| set | ours | sgd | adamw | timm |",
        "|---|---:|---:|---:|---:|",
        "| pets | 60.0 ± 14.1 (2) |  |  |  |",
    ]


def test_the_fuse_benchmark_divides_what_both_parts_see(scripts: SimpleNamespace, tmp_path: Path) -> None:
    scripts.fuse.write(tmp_path / "source", count=5)
    (_, *labels), (_, *numbers) = (
        (tmp_path / "source" / name).read_text().split() for name in ("labels.csv", "numbers.csv")
    )
    assert [line.rpartition(",")[2] for line in labels] == ["train", "train", "train", "val", "test"]
    assert len(numbers) == 5
    for place, (pixels, _) in zip(range(5), scripts.fuse.digits(), strict=False):
        upper, lower = np.asarray(pixels).reshape(2, 4, 8)
        with Image.open(tmp_path / f"source/img/{place:04}.png") as image:
            assert np.array_equal(np.asarray(image), np.concatenate([upper, np.zeros_like(lower)]))
        assert [float(cell) for cell in numbers[place].split(",")[1:]] == pytest.approx(lower.mean(0))
    results = [{"way": "gate", "val": value, "test": 0.5} for value in (0.5, 0.7)]
    assert scripts.fuse.table(results).splitlines()[2:] == ["| gate | 60.0 ± 14.1 (2) | 50.0 ± 0.0 (2) |"]


def imported_names() -> Iterator[tuple[str, str, str]]:
    """Yield script, module and name of every import from resnetctl in `benchmarks/` and the plugins."""
    for path in [*BENCHMARKS.rglob("*.py"), *(ROOT / "plugins").rglob("*.py"), ROOT / "docs" / "generate.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "resnetctl":
                for alias in node.names:
                    yield path.relative_to(ROOT).as_posix(), str(node.module), alias.name


def test_every_name_that_a_script_imports_exists() -> None:
    missing = [
        f"{script}: {module}.{name}"
        for script, module, name in imported_names()
        if not hasattr(import_module(module), name) and find_spec(f"{module}.{name}") is None
    ]
    assert missing == []


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module("gpu")
    for name in ("gpu", "machine"):
        sys.modules.pop(name, None)


def test_the_benchmark_of_a_gpu_runs_tiny_on_a_cpu(gpu: Any, tmp_path: Path) -> None:
    bench = gpu.Bench(device="cpu", data="none", tiny=True, work=tmp_path)
    rows = {part: list(gpu.PARTS[part][1](bench)) for part in ("facts", "sync", "parity", "graph", "exact")}
    assert [len(rows[part]) for part in rows] == [3, 5, 2, 2, 2]
    assert not any(row["failed"] for row in rows["parity"])
    assert rows["graph"][-1] == {"name": "graph=off against eager", "value": "same bits", "failed": False}
    assert rows["exact"][-1] == {"name": "killed after 2 facts, resumed", "value": "same bytes"}
    assert "| parity | bfloat16 |" in gpu.table([{"part": "parity", **row} for row in rows["parity"]])
    assert sum(seconds for seconds, _ in gpu.PARTS.values()) <= 480


def test_a_graph_that_was_not_captured_does_not_pass_on_a_gpu(gpu: Any, tmp_path: Path) -> None:
    """Both runs are then eager, and equal for nothing."""

    class OnCpu(gpu.Bench):  # type: ignore[misc, name-defined]
        sets = property(lambda self: ["device=cpu", "threads=1"])

    rows = list(gpu.graph(OnCpu(device="cuda", data="none", tiny=True, work=tmp_path)))
    assert [row["name"] for row in rows] == ["eager against itself", "capture"]
    assert rows[-1] == {"name": "capture", "value": "refused: off", "refused": True}


def test_the_benchmark_of_a_gpu_says_that_there_is_none(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 3
    assert "no CUDA device: nothing was measured" in capsys.readouterr().err


def test_wrong_outputs_of_a_gpu_leave_out_the_parts_on_speed(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(command: list[str], **_: Any) -> SimpleNamespace:
        part = command[command.index("--part") + 1]
        gpu._append(out, {"part": part, "name": "float32", "value": "1", "failed": part == "parity"})
        return SimpleNamespace(returncode=0)

    out = tmp_path / "gpu.jsonl"
    monkeypatch.setattr(gpu.subprocess, "run", fails)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--tiny", "--out", str(out)])
    assert gpu.main() == 1
    left = [row["part"] for row in gpu._rows(out) if row["name"] == "left out"]
    assert left == ["speed", "shares", "accuracy", "compile"]


def test_recipes_are_compared_at_equal_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = import_module("accuracy_for_time")
    tiny(settings.load().data_dir, size=16)
    store = open_store(settings.load().data_dir, "tiny")
    clock = itertools.count()
    monkeypatch.setattr(bench.time, "process_time", lambda: next(clock))  # a second between two looks
    rows = list(bench.measure(store, ["resnet20:sprint"], seconds=2.0, seeds=1, sets=["batch_size=16"]))
    assert [(row.name, row.seed, row.steps, row.seconds) for row in rows] == [("`resnet20`, `sprint`", 0, 8, 1)]
    assert 0 <= rows[0].top1 <= 1
    for name in ("accuracy_for_time", "machine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "rates"), [("torchvision", [0.1, 0.1, 0.01, 0.001]), ("timm", [1e-5, 0.05, 0.025, 0])]
)
def test_a_recipe_of_another_program_has_its_learning_rates_and_trains(
    scripts: SimpleNamespace, name: str, rates: list[float]
) -> None:
    from programs import recipes

    recipe = recipes.RECIPES[name]()
    places = {"torchvision": (0, 0.33, 0.34, 0.67), "timm": (0, 5.1 / 300, 0.5, 1)}[name]
    assert [recipe.learning_rate(place) for place in places] == pytest.approx(rates, rel=0.01, abs=1e-4)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2 * recipe.batch, 32, 32, 3), dtype=np.uint8)
    pictures = recipes.Pictures(
        images=images, labels=generator.integers(0, 3, len(images)), mean=(0.5,) * 3, std=(0.25,) * 3
    )
    done = recipes.trained(name, pictures, depth=8, seconds=0.1, seed=0)
    assert done.steps >= 1
    assert done.epochs == pytest.approx(done.steps / 2)
    loss, top1 = recipes.judged(done.model, pictures)
    assert 0 < loss < 20
    assert 0 <= top1 <= 1
