import json
from pathlib import Path

import pytest
from support.datasets import tiny
from support.jobs import to_train
from support.tiny_runs import ARCH, files, notice_texts, request, run

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_flags, from_sets
from resnetctl.config.layers import Layer, from_file
from resnetctl.engine.loop import StepResult
from resnetctl.errors import ConfigError, DataError, UsageError
from resnetctl.facts import EpochTimed, Finished, Notice, Started
from resnetctl.hints import Call, Setting
from resnetctl.system import settings
from resnetctl.tasks import datasets as data_task
from resnetctl.tasks.train import train
from resnetctl.training import notices
from resnetctl.weights.file import read_card


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> None:
    tiny(settings.load().data_dir)


def test_a_run_has_every_documented_file() -> None:
    folder = run().path
    assert {path.name for path in folder.iterdir() if path.name != ".lock"} == {
        "config.toml", "config.sources.json", "env.json", "metrics.jsonl", "timings.jsonl", "checkpoints",
        "model.safetensors", "summary.json",
    }  # fmt: skip
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["epochs"], summary["steps"]) == ("finished", 3, 12)
    assert summary["train_images"] + summary["val_images"] == 60
    assert (folder.parent / "last").resolve() == folder.resolve()


def test_train_yields_facts_in_order() -> None:
    facts = list(train(request(), settings.load()))
    kinds = [type(fact) for fact in facts if not isinstance(fact, StepResult | Notice)]
    assert kinds == [Started, EpochTimed, EpochTimed, EpochTimed, Finished]
    assert sum(isinstance(fact, StepResult) for fact in facts) == 12


def test_metrics_hold_no_times_and_timings_do() -> None:
    folder = run()
    assert set(folder.metrics()[0]) == {
        "epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "best",
    }  # fmt: skip
    assert set(folder.timings()[0]) == {"epoch", "seconds", "images_per_second"}


def test_the_card_names_arch_data_and_split() -> None:
    folder = run("seed=3", "split_seed=4")
    card = read_card(folder.weights)
    assert card.classes == ("dark", "middle", "bright")
    assert (card.arch.name, card.arch.stem, card.trained_on["name"]) == ("resnet20", "cifar", "tiny")
    assert card.split is not None
    assert (card.split.seed, card.split.val_fraction) == (4, 0.1)
    assert str(folder.path) not in json.dumps(card.to_json())


def test_the_name_of_a_run_does_not_change_its_bytes() -> None:
    first, second = run(name="a"), run(name="b")
    assert files(first) == files(second)


def test_a_runs_own_config_repeats_it() -> None:
    first = run("model.block_args.shortcut=B", "model.dropout=0.1", name="a")
    again = to_train(from_file(first.config), name="b")
    finished = [fact for fact in train(again, settings.load()) if isinstance(fact, Finished)]
    assert files(first) == files(runs.RunDir(finished[0].run))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[model.block_args]\nshortcot = 'A'\n", 2),
        ("[model]\narch = 'resnet20'\nblock_args = { shortcut = 'A', shortcot = 'A' }\n", 3),
        ("augment = 'shift'\naugment_args.reech = 3\n", 2),
        ("lr = 0.1\n[schedule.args]\npower = 2\n", 3),
    ],
)
def test_an_argument_that_nothing_takes_names_its_line_in_the_config_file(tmp_path: Path, text: str, line: int) -> None:
    """Such as that of a run whose plugin has changed since."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        list(train(to_train(from_sets(["data=tiny", "epochs=1"]), from_file(path)), settings.load()))
    assert caught.value.where == f"{path}:{line}"


def test_sources_name_the_origin_of_every_value() -> None:
    layers = [from_sets(ARCH), from_flags({"seed": 3}, {"seed": "--seed"})]
    list(train(to_train(*layers, name="one"), settings.load()))
    sources = runs.find("one", Path("runs")).sources()
    assert sources["seed"] == "flag --seed"
    assert sources["data"] == "--set"
    assert sources["augment"] == "dataset tiny"
    assert sources["keep"] == "default"
    assert sources["threads"] == "rule"


def test_an_environment_variable_is_weaker_than_a_config_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETCTL_THREADS", "2")
    settings.load.cache_clear()
    assert run(name="a").read_config().threads == 2
    assert run("threads=1", name="b").read_config().threads == 1
    assert runs.find("a", Path("runs")).sources()["threads"] == "env RESNETCTL_THREADS"


def test_keep_last_ships_the_last_epoch() -> None:
    assert read_card(run("keep=last").weights).metrics == {"epoch": 3}


def test_keep_best_ships_the_best_epoch_on_val() -> None:
    folder = run("epochs=6")
    best = max(folder.metrics(), key=lambda line: (line["val_top1"], -line["val_loss"]))
    assert read_card(folder.weights).metrics["epoch"] == best["epoch"]
    assert read_card(folder.weights).metrics["val_top1"] == best["val_top1"]


def test_without_val_the_last_epoch_is_shipped() -> None:
    folder = run("val_fraction=0")
    assert "val_top1" not in folder.metrics()[0]
    assert read_card(folder.weights).metrics == {"epoch": 3}
    assert read_card(folder.weights).split is None


def test_steps_end_a_run_mid_epoch() -> None:
    folder = run("steps=5")
    assert [line["step"] for line in folder.metrics()] == [4, 5]


@pytest.mark.parametrize(
    ("sets", "error"),
    [
        (["model.arch=resnet21"], UsageError),
        (["model.block=nonsense"], UsageError),
        (["augment=nonsense"], UsageError),
        (["model.block_args.nonsense=1"], ConfigError),
        (["epochs=0"], ConfigError),
        (["device=cuda:77"], UsageError),
        (["early_stop=1", "val_fraction=0"], ConfigError),
        (["data=nonsense"], DataError),
        (["size=2"], ConfigError),
    ],
)
def test_mistakes_are_reported_before_anything_is_written(sets: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        list(train(request(*sets), settings.load()))
    assert not Path("runs").exists()


@pytest.mark.parametrize("wrong", ["model.block=basc", "augment=shft", "device=cuda:99"])
def test_mistakes_that_need_no_data_are_reported_before_data_are_fetched(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_task, "ensure", None)
    with pytest.raises(UsageError):
        next(train(request("data=cifar10", wrong), settings.load()))


def test_a_head_that_does_not_suit_the_data_is_reported_before_data_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data_task, "ensure", None)
    pytest.importorskip("resnetctl_detect")
    with pytest.raises(ConfigError, match="head 'ssd' learns from boxes, and 'cifar10' has labels") as caught:
        next(train(request("data=cifar10", "model.head=ssd"), settings.load()))
    assert Call("data list") in caught.value.hint


def test_a_taken_name_is_refused_first() -> None:
    run()
    with pytest.raises(UsageError, match="exists"):
        next(train(request("data=nonsense"), settings.load()))


def test_a_folder_that_cannot_hold_runs_is_reported_before_data_are_fetched() -> None:
    Path("file").write_bytes(b"")
    draft = to_train(from_sets(["data=digits"]), out=Path("file"))
    with pytest.raises(UsageError, match="cannot write") as caught:
        next(train(draft, settings.load()))
    assert caught.value.hint[0] == Setting("out", "FOLDER")


@pytest.mark.parametrize("dry_run", [False, True])
def test_data_with_one_class_is_refused(tmp_path: Path, dry_run: bool) -> None:
    tiny(settings.load().data_dir, "cats", classes=("cat",))
    with pytest.raises(DataError, match="one class, 'cat'") as caught:
        list(train(request("data=cats", dry_run=dry_run), settings.load()))
    assert caught.value.exit_code == 3
    assert not Path("runs").exists()


def test_a_dry_run_times_a_step_and_writes_nothing() -> None:
    facts = list(train(request(dry_run=True), settings.load()))
    assert isinstance(next(fact for fact in facts if isinstance(fact, Started)), Started)
    assert "one step of 16 images takes" in notice_texts(facts)
    assert not any(isinstance(fact, Finished) for fact in facts)
    assert not Path("runs").exists()


def test_unusual_settings_get_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "cores_granted", lambda: 1)
    texts = notice_texts(list(train(request("threads=2", "batch_size=500", "epochs=1"), settings.load())))
    assert "2 threads share 1 core, which is slower than one each" in texts
    assert "a batch of 500 is more than the 54 training images, so an epoch is one step" in texts
    assert notice_texts(list(train(request("threads=1", "epochs=1", name="two"), settings.load()))) == ""


def test_growing_images_get_a_notice() -> None:
    texts = notice_texts(list(train(request("progressive.initial_scale=0.5", "epochs=10"), settings.load())))
    assert "images grow from 4 px and reach 8 px in epoch " in texts
    full_size_epoch = int(texts.partition("in epoch ")[2].split(";")[0])
    lines = runs.find("one", Path("runs")).metrics()
    assert len(lines) == 10
    assert 5 < full_size_epoch < 10


def test_progressive_resizing_without_an_effect_gets_a_notice() -> None:
    sets = ("progressive.initial_scale=0.9", "progressive.size_increment=100", "epochs=1")
    assert "resizing does nothing here: 0.9 of 8 px, in multiples of 100 px, is 8 px" in notice_texts(
        list(train(request(*sets), settings.load()))
    )


@pytest.mark.parametrize(
    "sets", [("progressive.delay_fraction=0", "progressive.finetune_fraction=1", "epochs=1"), ("steps=1",)]
)
def test_progressive_resizing_without_a_step_for_small_images_gets_a_notice(sets: tuple[str, ...]) -> None:
    texts = notice_texts(list(train(request("progressive.initial_scale=0.5", *sets), settings.load())))
    assert "resizing does nothing here: no step is left for smaller images" in texts


def test_a_number_that_is_not_finite_ends_the_run_without_a_summary() -> None:
    from resnetctl.errors import NonFinite

    with pytest.raises(NonFinite, match=r"step 2: the output of layer 'layer1\.0\.conv1' is not finite") as caught:
        run("lr=1e30", "epochs=20")
    assert "image train row" in caught.value.problems[0]
    assert "(train/" in caught.value.problems[0]
    assert not (Path("runs/one/summary.json")).exists()


def test_layers_are_validated_together() -> None:
    with pytest.raises(ConfigError) as caught:
        list(
            train(
                to_train(Layer({"lr": -1, "epochz": 3}, {"lr": "--set", "epochz": "--set"})),
                settings.load(),
            )
        )
    assert "did you mean 'epochs'" in caught.value.problems[0]
