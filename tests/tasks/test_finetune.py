import dataclasses
import itertools
import json
from pathlib import Path

import pytest
import torch
from support.datasets import tiny
from support.jobs import to_finetune, to_train

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.layers import from_file
from resnetctl.errors import ConfigError, DataError, InputError, UsageError, WeightsError
from resnetctl.facts import Finished, Notice
from resnetctl.hints import Call, Setting
from resnetctl.system import settings, storage
from resnetctl.tasks.finetune import finetune
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.weights.file import load, read_card, read_header, to_bytes

OTHER = ("middle", "striped")


@pytest.fixture
def base() -> runs.RunDir:
    """Train a run on three classes."""
    tiny(settings.load().data_dir)
    tiny(settings.load().data_dir, "other", classes=OTHER, train=40, test=10)
    request = to_train(from_sets(["data=tiny", "epochs=2"]), name="base")
    list(train(request, settings.load()))
    return runs.find("base", Path("runs"))


def tuned(*sets: str, name: str = "tuned") -> tuple[runs.RunDir, str]:
    layers = [from_sets(["data=other", "epochs=2", "batch_size=8", *sets])]
    facts = list(finetune(to_finetune(*layers, name=name), settings.load()))
    finished = next(fact for fact in facts if isinstance(fact, Finished))
    return runs.RunDir(finished.run), "\n".join(fact.text for fact in facts if isinstance(fact, Notice))


def test_finetune_adapts_the_newest_run_to_new_classes(base: runs.RunDir) -> None:
    run, texts = tuned()
    assert read_card(run.weights).classes == OTHER
    assert "2 classes, 1 of them known to the weights by name" in texts
    assert run.read_config().weights == str(base.weights.resolve())  # type: ignore[attr-defined]


def test_a_frozen_backbone_trains_the_head_only(base: runs.RunDir) -> None:
    run, _ = tuned("freeze=backbone")
    before, after = load(read_header(base.weights)).state, load(read_header(run.weights)).state
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_frozen_stages_keep_weights_and_statistics(base: runs.RunDir) -> None:
    run, _ = tuned("freeze=stem,layer1")
    before, after = load(read_header(base.weights)).state, load(read_header(run.weights)).state
    same = {name.split(".")[0] for name, value in after.items() if torch.equal(value, before[name])}
    moved = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert same >= {"conv1", "bn1", "layer1"}
    assert moved == {"layer2", "layer3", "fc"}


def test_an_unknown_part_is_a_usage_error_that_lists_the_parts(base: runs.RunDir) -> None:
    with pytest.raises(UsageError) as caught:
        tuned("freeze=layer9")
    assert "layer3" in f"{caught.value.message} {caught.value.hint}"
    assert not Path("runs/tuned").exists()


def test_preprocessing_comes_from_the_weights(base: runs.RunDir) -> None:
    run, _ = tuned()
    assert read_card(run.weights).image == read_card(base.weights).image


def test_the_size_setting_replaces_the_size_of_the_weights(base: runs.RunDir) -> None:
    run, _ = tuned("size=12")
    assert read_card(run.weights).image.size == 12


def test_images_of_another_size_get_a_notice_unless_the_size_is_set(base: runs.RunDir) -> None:
    tiny(settings.load().data_dir, "large", size=32)
    tiny(settings.load().data_dir, "little", size=4)
    notice = "images of {} px are {} to 8 px, the size of the weights"
    assert notice.format(32, "reduced") in tuned("data=large", name="a")[1]
    assert notice.format(4, "enlarged") in tuned("data=little", name="b")[1]
    assert "size of the weights" not in tuned(name="c")[1] + tuned("data=large", "size=8", name="d")[1]


def test_weights_that_trained_on_images_of_val_get_a_notice(base: runs.RunDir) -> None:
    notice = "the weights have trained on images that are in val now"
    start = f"weights={base.weights}"
    assert notice not in tuned("data=tiny", start, name="same")[1] + tuned(start, name="other")[1]
    for number, sets in enumerate(("split_seed=1", "val_fraction=0.3")):
        assert f"{notice} (they had another val split)" in tuned("data=tiny", start, sets, name=f"part-{number}")[1]
    digest = read_card(base.weights).trained_on["digest"]
    tiny(settings.load().data_dir, "larger", train=70)
    card = settings.load().data_dir / "larger" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"replaced": {digest: True}}))
    assert f"{notice} ('larger' was replaced since)" in tuned("data=larger", start, name="more")[1]


def test_weights_that_do_not_say_what_they_have_seen_are_doubted_from_then_on(base: runs.RunDir) -> None:
    card = read_card(base.weights)
    assert not card.val_seen
    blank = dataclasses.replace(card, trained_on={}, split=None)
    Path("blank.safetensors").write_bytes(to_bytes(load(read_header(base.weights)).state, blank))
    run, texts = tuned("data=tiny", "weights=blank.safetensors", name="once")
    assert "do not say which images they have trained on" in texts
    assert read_card(run.weights).val_seen
    list(resume(run.path, settings=settings.load(), epochs=3))
    assert read_card(run.weights).val_seen
    again, texts = tuned("data=tiny", f"weights={run.weights}", name="twice")
    assert "the weights that these began with have trained, or may have" in texts
    assert read_card(again.weights).val_seen
    fresh, texts = tuned("data=other", "weights=blank.safetensors", name="fresh")  # other classes, so other data
    assert "do not say" not in texts
    assert not read_card(fresh.weights).val_seen


def test_weights_of_an_unfinished_run_get_a_notice(base: runs.RunDir) -> None:
    base.reopen()
    assert "runs/base is not finished" in tuned()[1]


def test_without_a_run_the_error_offers_other_weights() -> None:
    tiny(settings.load().data_dir, "other", classes=OTHER)
    with pytest.raises(InputError, match="there is no run yet") as caught:
        tuned()
    assert caught.value.hint[-1].value == "torchvision:resnet18"
    with pytest.raises(InputError, match="no run 'gone'") as caught:
        tuned("weights=gone")
    assert not any("torchvision" in str(hint) for hint in caught.value.hint)


def test_the_folder_of_the_weights_does_not_change_the_bytes(base: runs.RunDir) -> None:
    first, _ = tuned(name="a")
    copy = Path("elsewhere.safetensors")
    copy.write_bytes(base.weights.read_bytes())
    second, _ = tuned(f"weights={copy}", name="b")
    assert first.weights.read_bytes() == second.weights.read_bytes()


def test_a_finetune_run_resumes_without_the_weights_that_it_started_from(base: runs.RunDir) -> None:
    whole, _ = tuned("freeze=stem", f"weights={base.weights}", name="whole")
    layers = [from_sets(["data=other", "epochs=2", "batch_size=8", "freeze=stem", f"weights={base.weights}"])]
    facts = finetune(to_finetune(*layers, name="cut"), settings.load())
    for fact in facts:
        if type(fact).__name__ == "StepResult":
            break
    facts.close()  # type: ignore[attr-defined]
    base.weights.unlink()
    list(resume("cut", settings=settings.load()))
    assert runs.find("cut", Path("runs")).weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.parametrize(
    ("sets", "error"),
    [
        (["weights=nowhere"], InputError),
        (["weights=torchvision:resnet19"], UsageError),
        (["model.arch=resnet56"], UsageError),
        (["data=nowhere"], DataError),
        (["data=nowhere", "weights=torchvision:resnet18"], DataError),  # before anything is downloaded
    ],
)
def test_mistakes_are_reported_before_the_run_folder_is_created(
    base: runs.RunDir, sets: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        tuned(*sets)
    assert not Path("runs/tuned").exists()


def test_finetune_needs_data(base: runs.RunDir) -> None:
    with pytest.raises(UsageError, match="which data to train on"):
        list(finetune(to_finetune(), settings.load()))


def test_finetune_cannot_start_from_an_onnx_file(base: runs.RunDir) -> None:
    Path("model.onnx").write_bytes(b"x")
    with pytest.raises((UsageError, WeightsError)):
        tuned("weights=model.onnx")
    base.write_onnx(b"x")
    with pytest.raises(UsageError) as caught:
        tuned(f"weights={base.onnx}")
    assert caught.value.hint == (Setting("weights", str(base.weights)),)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.block=bottleneck", "block comes from the weights of base, the newest run: it is basic, not bottleneck"),
        ("model.stem=imagenet", "stem comes from the weights"),
        ("model.activation=silu", "activation comes from the weights of base, the newest run: it is relu, not silu"),
        ("model.norm=group", "norm comes from the weights of base, the newest run: it is batch, not group"),
        ("model.block_args.shrink=3", "shrink comes from the weights of base, the newest run: it has none"),
    ],
)
def test_the_network_of_the_weights_cannot_be_changed(base: runs.RunDir, key: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        tuned(key)
    assert caught.value.where == Setting(key.partition("=")[0])
    assert not Path("runs/tuned").exists()


@pytest.mark.parametrize(("arch", "is_torchvisions"), [("resnet18", True), ("resnet56", False)])
def test_another_arch_names_its_own_weights_and_training(base: runs.RunDir, arch: str, is_torchvisions: bool) -> None:
    """The newest run is taken without a word: the error says whose weights they are."""
    with pytest.raises(UsageError) as caught:
        tuned(f"model.arch={arch}", "weights=")
    message = f"arch comes from the weights of base, the newest run: it is resnet20, not {arch}"
    assert caught.value.message == message
    imagenet = Setting("weights", f"torchvision:{arch}", note="starts from ImageNet")
    scratch = Call("train", settings={"data": "other", "arch": arch}, note="trains from scratch")
    assert caught.value.hint == (*[imagenet] * is_torchvisions, scratch)
    with pytest.raises(UsageError, match="arch comes from the weights of runs/base: it is resnet20"):
        tuned(f"model.arch={arch}", "weights=runs/base")


def test_the_config_of_a_finetune_run_repeats_it(base: runs.RunDir) -> None:
    first, _ = tuned("weights=base", name="a")
    config = first.config.read_text()
    assert config.startswith("# The whole config of this run. To repeat it: resnetctl finetune --config config.toml")


def test_a_dry_run_writes_nothing(base: runs.RunDir) -> None:
    request = to_finetune(from_sets(["data=other"]), name="dry", dry_run=True)
    facts = list(finetune(request, settings.load()))
    assert any("nothing was written" in fact.text for fact in facts if isinstance(fact, Notice))
    assert not Path("runs/dry").exists()


def test_the_config_of_a_run_refuses_other_weights_of_the_same_name(base: runs.RunDir) -> None:
    run, _ = tuned()
    config = run.read_config()
    assert config.weights_sha256 == storage.sha256(base.weights)  # type: ignore[attr-defined]
    again = [from_file(run.config), from_sets(["epochs=1"])]
    list(finetune(to_finetune(*again, name="again"), settings.load()))
    assert read_card(runs.find("again", Path("runs")).weights).trained_on["name"] == "other"
    base.weights.write_bytes(run.weights.read_bytes())
    with pytest.raises(WeightsError, match="these are other weights than the config asks for"):
        list(finetune(to_finetune(*again, name="third"), settings.load()))
    assert not Path("runs/third").exists()
    explicit = from_sets([f"weights={base.weights}"])
    list(finetune(to_finetune(*again, explicit, name="third"), settings.load()))


def test_frozen_parts_train_after_the_thaw_epoch(base: runs.RunDir) -> None:
    run, texts = tuned("freeze=backbone", "thaw_epoch=1")
    before, after = load(read_header(base.weights)).state, load(read_header(run.weights)).state
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert not torch.equal(before["bn1.running_mean"], after["bn1.running_mean"])
    assert "never train" not in texts
    _, texts = tuned("freeze=backbone", "thaw_epoch=2", name="late")
    assert "the frozen parts never train: thaw_epoch is 2, and the run has 2 epochs" in texts
    with pytest.raises(ConfigError, match="wrong values"):
        to_finetune(from_sets(["thaw_epoch=1", "freeze=none"]))


@pytest.mark.parametrize(
    ("facts", "optimizer"),
    [
        (9, "adamw"),
        *(pytest.param(*case, marks=pytest.mark.certify) for case in ((3, "adamw"), (9, "sgd"), (16, "adamw"))),
    ],
)
def test_a_run_that_thaws_resumes_bit_for_bit(
    base: runs.RunDir, facts: int, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnetctl.training.recorder.CHECKPOINT_SECONDS", 0.0)
    sets: tuple[str, ...] = (
        "freeze=backbone",
        "thaw_epoch=1",
        "optim.layer_decay=0.5",
        f"optim.name={optimizer}",
        "lr=0.01",
        "ema_decay=0.9",
    )
    sets += (f"weights={base.weights}",)  # the newest run would be another one for the second run
    whole, _ = tuned(*sets, name="whole")
    request = to_finetune(from_sets(["data=other", "epochs=2", "batch_size=8", *sets]), name="cut")
    cut = finetune(request, settings.load())
    list(itertools.islice(cut, facts))
    cut.close()  # type: ignore[attr-defined]
    list(resume("cut", settings=settings.load()))
    assert runs.find("cut", Path("runs")).weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.parametrize("setting", ["model.zero_init=true", "model.init=ones"])
def test_first_weights_are_for_training_from_scratch(base: runs.RunDir, setting: str) -> None:
    with (
        registry.overlay("init", ones=lambda model, images: None),
        pytest.raises(UsageError, match="finetune keeps the weights of every block"),
    ):
        tuned(setting)
