import importlib
import itertools
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.datasets import tiny
from support.distributions import install
from support.jobs import job
from support.photos import added
from support.photos import files as photo_files
from support.pictures import write_tree
from support.tiny_runs import files, notice_texts, request, run

from resnetctl import registry, runs
from resnetctl.__main__ import main
from resnetctl.data.store import Store
from resnetctl.engine.distributed import Team
from resnetctl.engine.loop import StepResult
from resnetctl.errors import PluginError, Stopped, UsageError, WeightsError
from resnetctl.facts import Finished, Notice, Started
from resnetctl.hints import Call, Setting
from resnetctl.system import settings
from resnetctl.tasks.resume import _differences, resume
from resnetctl.tasks.train import train
from resnetctl.training.job import Job
from resnetctl.training.newest_checkpoint import newest


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> None:
    tiny(settings.load().data_dir)


def killed(after: int, *sets: str) -> runs.RunDir:
    """Return a run whose process ended after `after` facts: closes the generator and cleans up nothing."""
    facts = train(request(*sets, name="cut"), settings.load())
    list(itertools.islice(facts, after))
    facts.close()  # type: ignore[attr-defined]
    return runs.find("cut", Path("runs"))


def test_training_never_opens_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = Store.split
    monkeypatch.setattr(Store, "split", lambda self, name: (opened.append(name), original(self, name))[1])
    folder = run()
    list(resume(str(folder.path), settings=settings.load(), epochs=4))
    assert set(opened) == {"train"}


@pytest.mark.parametrize("after", [1, 9, *(pytest.param(facts, marks=pytest.mark.certify) for facts in (3, 6, 16))])
@pytest.mark.parametrize(
    "sets",
    [
        (),
        ("ema_decay=0.9", "model.dropout=0.2", "model.drop_path=0.2", "optim.name=adamw", "lr=0.003"),
        ("progressive.initial_scale=0.5",),
    ],
)
def test_a_resumed_run_ends_with_the_same_bytes(after: int, sets: tuple[str, ...]) -> None:
    whole = run(*sets, name="whole")
    cut = killed(after, *sets)
    list(resume("cut", settings=settings.load()))
    assert files(cut) == files(whole)


@pytest.fixture
def photos(tmp_path: Path) -> None:
    """The same photos as the datasets `raw` and `files`, which has their files."""
    source = write_tree(tmp_path / "photos", photo_files())
    for name, storage in (("raw", "raw"), ("files", "jpeg")):
        added(source, settings.load().data_dir, name, storage)  # type: ignore[arg-type]


@pytest.mark.usefixtures("photos")
def test_a_run_on_files_trains_as_on_pixels_and_resumes_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = ("batch_size=4", "epochs=2", "val_fraction=0.2", "augment=standard")
    monkeypatch.setattr("resnetctl.training.recorder.CHECKPOINT_SECONDS", -1.0)
    raw, whole = (run(*sets, f"data={name}", name=name) for name in ("raw", "files"))
    cut = killed(9, *sets, "data=files")  # after a step of the second epoch
    assert int(cut.checkpoints.paths()[0].stem[5:]) % 4 in (1, 2, 3), "of four steps"
    list(resume("cut", settings=settings.load()))
    assert files(cut) == files(whole)
    assert files(cut)[1] == files(raw)[1]  # the weights name the digest of their dataset, the metrics do not
    tensors = [safetensors.torch.load_file(folder.weights) for folder in (raw, whole)]
    assert all(torch.equal(tensors[0][name], tensor) for name, tensor in tensors[1].items())


def test_a_resume_of_a_finished_run_changes_nothing() -> None:
    folder = run()
    before = files(folder)
    facts = list(resume("one", settings=settings.load()))
    assert "is finished after 3 epochs" in notice_texts(facts)
    assert isinstance(facts[-1], Finished)
    assert files(folder) == before


def test_a_finished_run_can_be_extended_with_a_notice_on_the_schedule() -> None:
    run()
    facts = list(resume("one", settings=settings.load(), epochs=5))
    folder = runs.find("one", Path("runs"))
    assert "the schedule (cosine) now covers 20 steps" in notice_texts(facts)
    assert [line["epoch"] for line in folder.metrics()] == [1, 2, 3, 4, 5]
    assert folder.read_config().epochs == 5
    assert folder.sources()["epochs"] == "resume"


def contents(run: runs.RunDir) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.path.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_length_that_leaves_nothing_to_train_is_refused(epochs: int) -> None:
    cut = killed(11)  # after the second epoch
    before = contents(cut)
    with pytest.raises(UsageError, match=r"would leave nothing to train: .* 8 steps \(4 per epoch\)") as caught:
        list(resume("cut", settings=settings.load(), epochs=epochs))
    assert caught.value.hint[0] == Setting("epochs", 3, note="is the smallest number that continues training")
    assert contents(cut) == before


def test_a_run_stopped_within_an_epoch_refuses_fewer_epochs_with_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted() -> Iterator[object]:
        for number, fact in enumerate(train(request(name="cut"), settings.load())):
            if isinstance(fact, StepResult) and number > 6:
                signal.raise_signal(signal.SIGINT)
            yield fact

    with pytest.raises(Stopped):
        list(interrupted())
    cut = runs.find("cut", Path("runs"))
    before = contents(cut)
    assert main(["train", "--resume", "cut", "--epochs", "1"]) == 2
    assert "error: 1 epoch would leave nothing to train" in capsys.readouterr().err
    assert contents(cut) == before


def test_a_stopped_run_can_become_shorter_when_there_is_something_left_to_train() -> None:
    cut = killed(8)
    list(resume("cut", settings=settings.load(), epochs=2))
    assert [line["epoch"] for line in cut.metrics()] == [1, 2]


def test_a_finished_run_refuses_fewer_epochs_and_accepts_its_own_number() -> None:
    folder = run()
    before = contents(folder)
    with pytest.raises(UsageError, match="2 epochs would leave nothing to train: the run has trained 3"):
        list(resume("one", settings=settings.load(), epochs=2))
    assert "is finished after 3 epochs" in notice_texts(list(resume("one", settings=settings.load(), epochs=3)))
    assert contents(folder) == before


def test_a_run_killed_before_its_summary_finishes_with_its_own_number_of_epochs() -> None:
    folder = run()
    whole = files(folder)
    (folder.path / "summary.json").unlink()
    list(resume("one", settings=settings.load(), epochs=3))
    assert folder.summary() is not None
    assert files(folder) == whole


def test_a_resume_after_images_reached_full_size_gets_no_notice_on_growing() -> None:
    run("progressive.initial_scale=0.5", "epochs=10")
    assert "images grow" not in notice_texts(list(resume("one", settings=settings.load(), epochs=11)))


def test_a_resumed_run_knows_its_best_val_accuracy() -> None:
    run("epochs=2")
    facts = list(resume("one", settings=settings.load(), epochs=3))
    (started,) = (fact for fact in facts if isinstance(fact, Started))
    assert started.best == max(line["val_top1"] for line in runs.find("one", Path("runs")).metrics()[:2])


def test_a_notice_gives_lr_and_image_size_of_an_extended_run() -> None:
    run("progressive.initial_scale=0.5")
    texts = notice_texts(list(resume("one", settings=settings.load(), epochs=9)))
    assert "the run goes on at step 12 with lr" in texts
    assert "and images of 4 px" in texts


def test_a_corrupt_checkpoint_is_skipped_for_an_older_one() -> None:
    whole = run(name="whole")
    cut = killed(12)
    newest = cut.checkpoints.paths()[0]
    newest.write_bytes(newest.read_bytes()[:-7])
    facts = list(resume("cut", settings=settings.load()))
    assert "an older one is used" in notice_texts(facts)
    assert files(cut) == files(whole)


def test_without_a_checkpoint_the_run_starts_again() -> None:
    whole = run(name="whole")
    cut = killed(12)
    for path in cut.checkpoints.paths():
        path.unlink()
    facts = list(resume("cut", settings=settings.load()))
    assert "starts at step 0" in notice_texts(facts)
    assert files(cut) == files(whole)


def test_data_that_changed_under_the_same_name_is_refused() -> None:
    cut = killed(12)
    data_dir = settings.load().data_dir
    (data_dir / "tiny").rename(data_dir / "old")
    tiny(data_dir, train=90)
    with pytest.raises(WeightsError, match="has changed since the run began"):
        list(resume("cut", settings=settings.load()))
    assert cut.checkpoints.paths()


RENAMED = """
from torch import nn
from resnetctl.blocks import BasicBlock

class Odd(BasicBlock):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.NAME = nn.Parameter(self.bn1.weight.detach().clone())
    def forward(self, x):
        return super().forward(x) * self.NAME.mean()
"""


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_block_with_a_renamed_parameter_is_one_error_with_keys_file_and_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    install(site, "odd", {"block": {"odd": "odd_block:Odd"}}, code=RENAMED.replace("NAME", "gate"))
    registry.refresh()
    cut = killed(12, "model.block=odd")
    (newest_file, *_) = cut.checkpoints.paths()
    (site / "odd_block.py").write_text(RENAMED.replace("NAME", "door"))
    (site / "odd-1.2.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: odd\nVersion: {version}\n")
    sys.modules.pop("odd_block")
    importlib.invalidate_caches()
    registry.refresh()
    with pytest.raises(PluginError) as caught:
        list(resume("cut", settings=settings.load()))
    sys.modules.pop("odd_block")
    registry.refresh()
    error = caught.value
    other = "the weights were written with odd 1.2, and 1.3 is installed"
    edited = "the code of odd (odd_block.py) was changed since the weights were trained"
    assert error.message.endswith(f"keys do not match the arch; {other if version == '1.3' else edited}")
    assert error.where == str(newest_file)
    assert error.problems[0].startswith("missing: layer1.0.door")
    assert any(problem.startswith("unexpected: layer1.0.gate") for problem in error.problems)
    advice = "install odd 1.2 from the folder" if version == "1.3" else "restore the code as it was then"
    assert any(str(hint).startswith(advice) for hint in error.hint)


def test_exact_refuses_another_machine_and_names_the_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetctl.engine import checkpoint

    killed(12)
    now = checkpoint.machine_facts
    monkeypatch.setattr(checkpoint, "machine_facts", lambda *args, **how: now(*args, **how) | {"torch": "9.9"})
    with pytest.raises(UsageError, match="bit-identical") as caught:
        list(resume("cut", settings=settings.load(), exact=True))
    assert [problem.split(" -> ")[1] for problem in caught.value.problems] == ["9.9"]
    assert "9.9" in notice_texts(list(resume("cut", settings=settings.load())))


def test_a_run_in_bf16_goes_on_without_bf16_arithmetic_only_in_fp32_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from resnetctl.engine.hardware import precision
    from resnetctl.tasks import resume as task

    for module in (precision, task):
        monkeypatch.setattr(module, "bf16_instructions", lambda: "avx512_bf16")
    killed(12, "precision=auto")
    run = runs.find("cut", settings.load().runs_dir)
    assert run.read_config().precision == "bf16"
    for module in (precision, task):
        monkeypatch.setattr(module, "bf16_instructions", lambda: "")
    with pytest.raises(UsageError, match="no bf16 arithmetic") as caught:
        list(resume("cut", settings=settings.load()))
    assert caught.value.hint == (Setting("device", "cpu", note="goes on in fp32, not bit for bit"),)
    told = notice_texts(list(resume("cut", settings=settings.load(), device="cpu")))
    assert "bf16 avx512_bf16 -> none, precision bf16 -> fp32" in told
    assert run.read_config().precision == "fp32"


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_resume_on_the_same_device_keeps_the_precision(device: str) -> None:
    run = killed_in_fp32()
    facts = list(resume("cut", settings=settings.load(), device=device, exact=True))
    assert not [fact for fact in facts if isinstance(fact, Notice) and "bit-identical" in fact.text]
    assert run.read_config().precision == "fp32"


def killed_in_fp32() -> runs.RunDir:
    killed(12, "precision=fp32")
    return runs.find("cut", settings.load().runs_dir)


def test_exact_refuses_a_run_on_cuda_that_began_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    killed(12)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    monkeypatch.setattr(Job, "device", property(lambda self: torch.device("cuda")))
    for exact in (False, True):
        facts = differences_on_cuda(exact)
        if exact:
            with pytest.raises(UsageError, match="bit-identical") as caught:
                list(facts)
            assert "began without exact" in caught.value.problems[-1]
        else:
            assert "began without exact" in notice_texts(facts)


def differences_on_cuda(exact: bool) -> Iterator[Notice]:
    """The notices of a resume of the run `cut`, whose job says that it is on CUDA."""
    snapshot = newest(runs.find("cut", Path("runs"))).snapshot
    return _differences(snapshot, job("model.arch=resnet20"), (), exact=exact, world_size=1)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_resume_after_a_signal_gives_the_same_bytes(signum: signal.Signals) -> None:
    whole = run(name="whole")

    def interrupted() -> Iterator[object]:
        for number, fact in enumerate(train(request(name="cut"), settings.load())):
            if number == 6:
                signal.raise_signal(signum)
            yield fact

    with pytest.raises(Stopped) as caught:
        list(interrupted())
    assert caught.value.exit_code == 128 + signum
    assert caught.value.hint == (Call("train", settings={"resume": Path("runs/cut")}),)
    list(resume("cut", settings=settings.load()))
    assert files(runs.find("cut", Path("runs"))) == files(whole)


def test_a_process_that_is_not_the_writer_reads_the_run_and_changes_nothing() -> None:
    whole = run(name="whole")
    cut = killed(12)
    before = {path: path.stat().st_mtime_ns for path in cut.path.rglob("*") if path.is_file()}
    team = Team()
    team.is_writer = False
    with cut.locked():  # as process 0 holds it
        facts = list(resume("cut", settings=settings.load(), team=team))
    assert not any(isinstance(fact, Finished) for fact in facts)
    assert {path: path.stat().st_mtime_ns for path in cut.path.rglob("*") if path in before} == before
    list(resume("cut", settings=settings.load()))
    assert files(cut) == files(whole)


def test_an_edit_of_a_plugins_code_is_said_and_refused_by_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    run(name="first")
    monkeypatch.setattr("resnetctl.tasks.resume.edited", lambda recorded, **how: ["own-block"])
    facts = list(resume("first", settings=settings.load(), epochs=4))
    assert "run: the code of own-block was changed" in "\n".join(
        fact.text for fact in facts if isinstance(fact, Notice)
    )
    with pytest.raises(UsageError) as caught:
        list(resume("first", settings=settings.load(), epochs=5, exact=True))
    assert caught.value.problems == ("the code of own-block was changed",)
