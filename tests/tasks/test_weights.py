"""`weights show` and `weights import` as tasks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.trained import card, make_run

from resnetctl.config.defaults import final_arch
from resnetctl.config.draft import draft
from resnetctl.config.layers import layer
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError, DataError, InputError, UsageError, WeightsError
from resnetctl.hints import Call, Setting
from resnetctl.models.archs import resnet18, resnet20
from resnetctl.models.resnet import build, count_params, with_defaults
from resnetctl.spec import Arch, DatasetCard, ImageSpec
from resnetctl.system import settings
from resnetctl.tasks.weights import IMAGENET_MEAN, IMAGENET_STD, ImportRequest, import_file, read_classes, show
from resnetctl.weights import torchvision
from resnetctl.weights.file import load_model
from resnetctl.weights.torchvision import Source

CLASSES = ("cat", "dog", "bird")


def foreign(folder: Path, arch: Arch = resnet20, *, size: int = 32, channels: int = 3) -> Path:
    """Write a state dict as other projects do."""
    image = ImageSpec(size=size, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels)
    torch.manual_seed(0)
    state = build(arch, classes=3, image=image).state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / "foreign.pth")
    return folder / "foreign.pth"


def request(here: Path, file: Path, **changes: Any) -> ImportRequest:
    (here / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    values = {"file": file, "arch": "resnet20", "out": here / "out.safetensors", "classes": here / "classes.txt"}
    return ImportRequest(**(values | changes))


def store_card(data_dir: Path, **changes: Any) -> DatasetCard:
    """Write the card of a dataset without images."""
    image = ImageSpec(size=28, channels=3, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), resize=32)
    card = DatasetCard(name="pets", classes=CLASSES, image=image, splits={"train": 3}, **changes)
    (data_dir / "pets").mkdir(parents=True)
    (data_dir / "pets" / "card.json").write_text(json.dumps(card.to_json()))
    return card


def test_imported_weights_can_be_shown_and_loaded(machine: Path) -> None:
    file = foreign(machine)
    report = import_file(request(machine, file, mean="0.1,0.2,0.3", std="0.4,0.5,0.6"), settings.load())
    out = machine / "out.safetensors"
    model, card = load_model(out)
    theirs = torch.load(file, weights_only=True)["state_dict"]
    assert all(torch.equal(value, theirs[f"module.{name}"]) for name, value in model.state_dict().items())
    assert card.classes == CLASSES
    assert card.image == ImageSpec(size=32, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert (report.notes, report.path) == ((), out)

    shown = show(out, settings.load())
    assert shown.card == report.card == card
    assert shown.params == sum(value.numel() for value in model.parameters()) == count_params(resnet20, 3)
    assert shown.tensors == len(model.state_dict())
    assert shown.bytes == out.stat().st_size


def test_the_json_documents_have_the_documented_keys(machine: Path) -> None:
    report = import_file(request(machine, foreign(machine)), settings.load())
    document = report.to_json()
    assert json.loads(json.dumps(document)) == document
    assert next(iter(document)) == "schema"
    assert document["schema"] == "resnetctl.weights.import/1"
    shown = show(report.path, settings.load()).to_json()
    assert shown["schema"] == "resnetctl.weights.show/1"
    assert {"card", "params", "tensors", "bytes", "sha256", "state_sha256"} <= set(shown)
    assert {key for key in shown if shown[key] != document[key]} == {"schema", "notes"}


@pytest.mark.parametrize("text", [None, "last", "first", "runs/first", "runs/first/model.safetensors"])
def test_a_run_shows_its_weights(text: str | None) -> None:
    run = make_run(card(), finished=False)
    report = show(text, settings.load())
    assert report.path.samefile(run.weights)
    assert (text == "runs/first/model.safetensors") == (report.notes == ())  # a file is just a file


def test_show_without_such_a_run_is_an_error() -> None:
    with pytest.raises(InputError, match="there is no run yet"):
        show(None, settings.load())
    with pytest.raises(InputError, match="no run 'gone'"):
        show("gone", settings.load())


def test_show_needs_no_torch(machine: Path) -> None:
    import_file(request(machine, foreign(machine)), settings.load())
    code = (
        "import sys; from resnetctl.system import settings; from resnetctl.tasks.weights import show; "
        "show('out.safetensors', settings.load()); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=machine).returncode == 0


def test_an_onnx_file_is_recognised_by_its_content(machine: Path) -> None:
    file = machine / "my model.ONNX"
    file.write_bytes(b"\x08\x0a\x12\x09resnetctl")
    with pytest.raises(WeightsError, match="an ONNX file") as caught:
        show(file, settings.load())
    assert caught.value.hint[0] == Call("eval", (file,))
    report = import_file(request(machine, foreign(machine)), settings.load())
    assert show(report.path.rename(file), settings.load()).params == report.params, "the name decides nothing"


def test_without_mean_and_std_a_note_states_the_assumption(machine: Path) -> None:
    report = import_file(request(machine, foreign(machine)), settings.load())
    assert (report.card.image.mean, report.card.image.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert "0.485,0.456,0.406" in report.notes[0]


def test_a_copy_of_torchvisions_weights_needs_no_classes(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = ImageSpec(size=40, resize=48)
    source = Source(url="", sha256="", arch=resnet20, classes=CLASSES, image=image)
    monkeypatch.setattr(torchvision, "recognise", lambda file, arch: source)
    report = import_file(request(machine, foreign(machine), classes=None), settings.load())
    assert (report.card.classes, report.card.image) == (CLASSES, image)


def test_channels_come_from_the_first_convolution(machine: Path) -> None:
    report = import_file(request(machine, foreign(machine, channels=1)), settings.load())
    assert (report.card.image.channels, report.card.image.mean) == (1, (0.5,))


@pytest.mark.parametrize(
    ("trained_at", "requested", "stem", "size", "resize"),
    [
        (32, 0, "cifar", 32, 32),
        (32, 96, "cifar", 96, 96),
        (224, 0, "imagenet", 224, 256),
        (224, 160, "imagenet", 160, 160),
    ],
)
def test_the_size_follows_the_stem_unless_it_is_set(
    machine: Path, trained_at: int, requested: int, stem: str, size: int, resize: int
) -> None:
    file = foreign(machine, resnet18, size=trained_at)
    card = import_file(request(machine, file, arch="resnet18", size=requested), settings.load()).card
    assert (card.arch.stem, card.image.size, card.image.resize) == (stem, size, resize)


def test_a_dataset_gives_classes_and_preprocessing(machine: Path) -> None:
    known = store_card(settings.load().data_dir)
    file = foreign(machine)
    report = import_file(request(machine, file, classes=None, data="pets"), settings.load())
    assert (report.card.classes, report.card.image, report.notes) == (known.classes, known.image, ())
    changed = request(machine, file, classes=None, data="pets", out=machine / "b", mean="0,0,0", std="1,1,1", size=40)
    image = import_file(changed, settings.load()).card.image
    assert image == ImageSpec(size=40, mean=(0, 0, 0), std=(1, 1, 1))


def test_a_missing_dataset_is_an_input_error(machine: Path) -> None:
    with pytest.raises(DataError, match="no dataset is called 'pest'"):
        import_file(request(machine, foreign(machine), classes=None, data="pest"), settings.load())


def test_an_existing_output_is_never_touched(machine: Path) -> None:
    (machine / "out.safetensors").write_text("precious")
    with pytest.raises(UsageError, match="output exists") as caught:
        import_file(request(machine, machine / "not even read"), settings.load())
    assert caught.value.exit_code == 2
    assert (machine / "out.safetensors").read_text() == "precious"


@pytest.mark.parametrize("changes", [{"classes": None}, {"data": "pets"}])
def test_exactly_one_of_classes_and_data_is_needed(machine: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="give either"):
        import_file(request(machine, foreign(machine), **changes), settings.load())


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"mean": "0.5,0.5,0.5"}, UsageError, "given together"),
        ({"mean": "0.5", "std": "0.5"}, UsageError, "one value for each of 3 channels"),
        ({"mean": "a,b,c", "std": "1,1,1"}, UsageError, "not a list of numbers"),
        ({"mean": "nan,0,0", "std": "1,1,1"}, UsageError, "must be finite"),
        ({"mean": "0,0,0", "std": "1,0,1"}, UsageError, "must be positive"),
        ({"size": -4}, UsageError, "must be positive"),
        ({"size": 2}, ConfigError, "at least 3 px"),
        ({"arch": "resnet21"}, UsageError, "no arch is called 'resnet21'"),
        ({"arch": "resnet32"}, WeightsError, "keys do not match"),
        ({"out": Path("nowhere/out.safetensors")}, UsageError, "cannot write"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_is_written(
    machine: Path, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        import_file(request(machine, foreign(machine), **changes), settings.load())
    assert not (machine / "out.safetensors").exists()


@pytest.mark.parametrize(
    "model",
    [
        {"model.block": "bottleneck", "model.block_args.shortcut": "A"},
        {"model.block": "preact_basic"},
        {"model.activation": "silu"},
    ],
)
def test_keys_of_the_model_name_another_block(machine: Path, model: dict[str, Any]) -> None:
    config = draft(TrainConfig, [layer({"model.arch": "resnet20", **model}, "--set")], settings=settings.load()).config
    file = foreign(machine, with_defaults(final_arch(config.model)))
    card = import_file(request(machine, file, model=layer(model, "--set")), settings.load()).card
    found = {"model.block": card.arch.block, "model.activation": card.arch.activation}
    found["model.block_args.shortcut"] = card.arch.block_args.get("shortcut")
    assert {key: found[key] for key in model} == model
    assert load_model(machine / "out.safetensors")[1] == card


def test_a_key_of_no_arch_and_an_unknown_block_are_refused(machine: Path) -> None:
    for key, error, message in (("lr", ConfigError, "not of the network"), ("model.block", UsageError, "no block")):
        with pytest.raises(error, match=message):
            import_file(request(machine, foreign(machine), model=layer({key: "other"}, "--set")), settings.load())


def test_another_block_and_other_channels_are_named_with_the_way_out(machine: Path) -> None:
    store_card(settings.load().data_dir)
    with pytest.raises(WeightsError, match="does not match") as caught:
        import_file(request(machine, foreign(machine, channels=1), classes=None, data="pets"), settings.load())
    assert caught.value.hint[0] == "the file takes images of 1 channel, and those of the dataset have 3"
    with pytest.raises(WeightsError, match="do not match") as caught:
        import_file(request(machine, foreign(machine), model=layer({"model.block": "bottleneck"}, "")), settings.load())
    alone = "alone fits the file: leave out the block and its arguments"
    assert caught.value.hint == (Setting("arch", "resnet20", note=alone),)


def test_another_number_of_classes_is_refused_with_the_shapes(machine: Path) -> None:
    (machine / "two.txt").write_text("cat\ndog\n")
    with pytest.raises(WeightsError) as caught:
        import_file(request(machine, foreign(machine), classes=machine / "two.txt"), settings.load())
    assert caught.value.problems == (
        "shape: fc.weight is 3x64, the arch needs 2x64",
        "shape: fc.bias is 3, the arch needs 2",
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [("a\nb\n", ("a", "b")), ("\ufeffa\r\nb c \n\n", ("a", "b c")), ("été\n犬", ("été", "犬"))],
)
def test_class_names_are_read_one_a_line(machine: Path, text: str, names: tuple[str, ...]) -> None:
    (machine / "c.txt").write_bytes(text.encode())
    assert read_classes(machine / "c.txt") == names


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (b"", ("no names",)),
        (b"a\n\nb\n", ("line 2: empty",)),
        (b"a\nb\na\n", ("line 3: 'a' is on line 1 too",)),
        (b"\xff\xfe\x00", ()),
    ],
)
def test_a_bad_list_of_names_is_an_input_error(machine: Path, content: bytes, problems: tuple[str, ...]) -> None:
    (machine / "c.txt").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_classes(machine / "c.txt")
    assert (caught.value.problems, caught.value.exit_code) == (problems, 3)
    with pytest.raises(DataError, match="cannot read the class names"):
        read_classes(machine / "missing.txt")
