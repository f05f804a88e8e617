"""`bench` runs once in full on tiny data; its parts are tested alone."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.datasets import tiny
from support.jobs import job, to_bench

from resnetctl.cli.parser.flag_layers import from_flags, from_sets
from resnetctl.config.draft import Draft
from resnetctl.config.schema import BenchConfig
from resnetctl.data.store import Store
from resnetctl.deploy import onnx_writer
from resnetctl.engine.hardware import precision
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import DataError, UsageError, WorkFailed
from resnetctl.hints import Setting
from resnetctl.system import settings
from resnetctl.system.machine import OtherLoad
from resnetctl.tasks.bench import baselines
from resnetctl.tasks.bench import bench as task
from resnetctl.tasks.bench.bench import Bench, bench
from resnetctl.tasks.bench.report import BenchReport
from resnetctl.training.job import Job, fresh_model, fresh_state
from resnetctl.training.timing.pace import PARTS, TimedStep, TimedSteps

ONCE = Spread(median=0.1, low=0.1, high=0.1, n=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to have two cores, take samples of one step, start no processes."""
    tiny(settings.load().data_dir)
    monkeypatch.setattr(task, "cores_granted", lambda: 2)
    monkeypatch.setattr(task, "SAMPLE", 0.0)
    monkeypatch.setattr(baselines, "start_up", lambda **_: {"python": ONCE})


def benched(*sets: str, **options: bool) -> tuple[BenchReport, str]:
    work, texts = bench(to_bench(from_sets(["data=tiny", *sets])), settings.load(), **options), []
    while True:
        try:
            texts.append(next(work).text)  # type: ignore[union-attr]
        except StopIteration as end:
            return end.value, "\n".join(texts)


def new_bench(*sets: str) -> Bench:
    settled = job("precision=fp32", *sets)
    state = fresh_state(settled, fresh_model(settled))
    return Bench(job=settled, timer=TimedSteps(settled, state, watch=True), state=state)


def test_bench_reports_every_figure_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: "")
    torch.set_num_threads(1)  # what the job settles, whatever other tests left
    before, threads = sorted(Path().rglob("*")), torch.get_num_threads()
    report, texts = benched()
    assert texts.startswith("timing resnet20 on tiny")
    assert (report.subject.data, report.subject.threads, report.subject.batch_size) == ("tiny", 1, 16)
    assert list(report.prediction) == [
        "torch batch 6", "torch batch 1", "onnxruntime batch 6", "onnxruntime batch 1",
        "onnxruntime-raw batch 6", "onnxruntime-raw batch 1",
    ]  # fmt: skip
    assert list(report.onnx_ratio) == ["batch 6", "batch 1"]
    options = [(item.option.name, item.option.value) for item in report.tried if isinstance(item.option, Setting)]
    assert options == [("threads", 2), ("batch_size", 8), ("batch_size", 32)]
    assert set(report.training.parts) == set(PARTS)
    assert sum(part.share for part in report.training.parts.values()) == pytest.approx(1.0)
    assert report.training.run_seconds > report.training.epoch_seconds > 0
    assert report.training.images_per_second.n == report.machine.sgemm_gflops.n == 7
    assert set(report.memory) <= {"training", "process"}
    assert [text for text in report.left_out if "no time" not in text] == []
    assert report.advice()
    assert sorted(Path().rglob("*")) == before
    assert torch.get_num_threads() == threads


def test_flops_count_forward_and_backward() -> None:
    # 8x8 digits: 40.6 M multiply-adds at 32 px are 2.5 M at 8 px; three times for training, two FLOP each
    assert task._flops(new_bench().timer) == pytest.approx(3 * 2 * 2.53e6, rel=0.05)
    queue = new_bench().timer
    queue.queued = 3  # steps at once, as on an accelerator; the images of a step are the same
    assert task._flops(queue) == pytest.approx(3 * 2 * 2.53e6, rel=0.05)


def test_an_unknown_dataset_or_arch_is_an_error() -> None:
    with pytest.raises(DataError):
        list(bench(to_bench(from_sets(["data=nowhere"])), settings.load()))
    with pytest.raises(UsageError):
        list(bench(to_bench(from_sets(["model.arch=resnet21"])), settings.load()))


def test_the_default_dataset_is_the_embedded_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(Exception):
        """Ends the task before it times anything."""

    def prepare(draft: Draft[BenchConfig], store: Store, **teacher: object) -> Job:
        assert (store.card.name, draft.config.batch_size) == ("digits", 32)
        raise Reached

    monkeypatch.setattr(task, "prepare", prepare)
    with pytest.raises(Reached):
        list(bench(to_bench(from_flags({"batch_size": 32}, {"batch_size": "--batch-size"})), settings.load()))


def test_a_network_that_onnx_cannot_express_is_timed_on_torch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise WorkFailed("torch cannot export this network: too odd")

    monkeypatch.setattr(onnx_writer, "to_bytes", refuse)
    bench = new_bench()
    task._add_predictions(bench)
    assert [name for name in bench.ways if "batch" in name] == ["torch batch 6", "torch batch 1"]
    assert bench.left_out == ["onnxruntime: torch cannot export this network: too odd"]


def test_alternatives_differ_from_the_run_and_suit_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "_has_bf16", lambda device: False)
    bench = new_bench("threads=2", "batch_size=40")
    task._add_other_threads(bench)
    task._add_other_configs(bench, compiled=False)
    assert list(bench.options) == ["with 1 thread", "with batches of 20"]  # 80 images are not there


def test_bf16_is_timed_if_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "_has_bf16", lambda device: True)
    bench = new_bench()
    task._add_other_configs(bench, compiled=False)
    assert bench.options["with bf16"] == Setting("precision", "bf16")


def test_fp32_is_timed_beside_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: "amx_bf16")
    bench = new_bench("precision=bf16")
    task._add_other_configs(bench, compiled=False)
    assert bench.options["with fp32"] == Setting("precision", "fp32")


def test_a_compiler_that_fails_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(model: torch.nn.Module) -> torch.nn.Module:
        raise_in_forward = torch.nn.Sequential(model)
        raise_in_forward.forward = None  # type: ignore[assignment]
        return raise_in_forward

    monkeypatch.setattr(torch, "compile", compiled)
    bench = new_bench()
    task._add_other_configs(bench, compiled=True)
    assert bench.left_out[0].startswith("torch.compile: ")
    monkeypatch.setattr(torch, "compile", lambda model: model)
    task._add_other_configs(bench, compiled=True)
    assert "the first step took" in bench.options["with torch.compile"]


def test_parts_have_median_seconds_and_shares() -> None:
    steps = [TimedStep(seconds=1, images=1, parts=tuple([value] * len(PARTS))) for value in (0.1, 0.2, 0.9)]
    parts = task._parts(steps)
    assert list(parts) == list(PARTS)
    assert {part.seconds for part in parts.values()} == {0.2}
    assert {round(part.share, 6) for part in parts.values()} == {round(1 / len(PARTS), 6)}
    assert task._parts([TimedStep(seconds=1, images=1)]) == {}


def test_onnxruntime_is_compared_with_torch_in_the_same_rounds() -> None:
    rates = {"torch batch 8": [1.0, 2.0], "onnxruntime batch 8": [3.0, 6.0], "train": [1.0, 1.0]}
    rates["onnxruntime-raw batch 8"] = [2.0, 4.0]
    assert task._onnx_ratios(rates) == {"batch 8": Spread(median=3.0, low=3.0, high=3.0, n=2)}


def test_the_machine_is_reported_with_its_baselines() -> None:
    machine = task._machine({"sgemm": [10.0] * 3, "copy": [5.0] * 3}, OtherLoad())
    assert (machine.cores, machine.sgemm_gflops.median, machine.copy_gb_per_second.n) == (2, 10.0, 3)


def test_settings_that_were_not_timed_are_not_reported() -> None:
    bench = new_bench()
    bench.options = {"with a": Setting("threads", 2), "with b": Setting("batch_size", 8)}
    (row,) = task._tried(bench, {"train": [10.0, 20.0, 40.0], "with b": [20.0, 40.0, 80.0]})
    assert (row.what, row.option, row.ratio.median, row.images_per_second.median) == (
        "with b",
        Setting("batch_size", 8),
        2.0,
        40.0,
    )


@pytest.mark.parametrize(
    ("threads", "expected"), [(1, ["with 2 threads"]), (2, ["with 1 thread"]), (3, ["with 1 thread", "with 2 threads"])]
)
def test_one_thread_and_all_cores_are_tried_besides_the_runs_own(threads: int, expected: list[str]) -> None:
    bench = new_bench(f"threads={threads}")
    task._add_other_threads(bench)
    assert list(bench.options) == list(bench.ways) == expected


def test_own_training_keeps_its_steps_and_counts_images() -> None:
    bench = new_bench()
    bench.timer.steps = lambda seconds: [TimedStep(seconds=0.5, images=16), TimedStep(seconds=1.5, images=4)]  # type: ignore[method-assign]
    assert bench.train() == 10.0
    assert bench.train() == 10.0
    assert len(bench.steps) == 4


def test_a_way_runs_with_the_threads_that_it_asks_for() -> None:
    bench = new_bench("threads=1")
    seen: list[int] = []

    def way() -> float:
        seen.append(torch.get_num_threads())
        return 1.0

    bench.add("own", way)
    bench.add("two", way, threads=2)
    assert [bench.ways[name]() for name in ("two", "own")] == [1.0, 1.0]
    assert seen == [2, 1]
    torch.set_num_threads(1)


def test_the_subject_is_the_run_that_train_would_do() -> None:
    subject = task._subject(new_bench("threads=1").job)
    assert (subject.arch, subject.data, subject.image_size, subject.precision) == ("resnet20", "tiny", 8, "fp32")
    assert subject.params == sum(parameter.numel() for parameter in new_bench().state.model.parameters())
    assert subject.train_images + subject.val_images > 0


def test_a_network_that_disagrees_after_the_export_is_timed_on_torch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = SimpleNamespace(problems=("logits differ by 3",))
    monkeypatch.setattr(task, "compare", lambda *a, **k: problems)
    monkeypatch.setattr(onnx_writer, "to_bytes", lambda *a, **k: b"")
    monkeypatch.setattr(task.onnx_session, "from_bytes", lambda *a, **k: None)
    bench = new_bench()
    assert [name for name, _ in task._predictors(bench, None)] == ["torch"]
    assert bench.left_out == ["onnxruntime: logits differ by 3"]


def test_a_head_is_refused_before_anything_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "prepare", lambda *a, **k: SimpleNamespace(head=SimpleNamespace(name="fcn")))
    with pytest.raises(UsageError, match="bench measures classifiers, not head 'fcn'") as caught:
        list(bench(to_bench(from_sets(["data=tiny"])), settings.load()))
    assert caught.value.where == Setting("model.head")


def test_the_first_line_names_a_block_that_replaces_that_of_the_arch() -> None:
    assert task._named(job().arch) == "resnet20"
    assert task._named(job("model.block=bottleneck").arch) == "resnet20 + bottleneck"
