"""Foreign state dicts are imported or refused; real weights of another project keep their accuracy."""

import io
import os
import pickle
import re
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from support.bounded import measure
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.errors import WeightsError
from resnetctl.hints import Setting
from resnetctl.models.archs import preact_resnet20, resnet18, resnet20, resnet56
from resnetctl.models.resnet import build
from resnetctl.spec import Arch, ImageSpec
from resnetctl.weights.file import LoadedWeights
from resnetctl.weights.foreign import adopt, import_weights, input_channels, read_state

TINY = Arch(name="tiny", block="basic", depths=(1, 1), widths=(4, 8))
IMAGE = ImageSpec(size=32)
CLASSES = ("a", "b", "c")


def state_of(arch: Arch = TINY, image: ImageSpec = IMAGE) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(build(arch, classes=3, image=image).state_dict())


def adopted(path: Path, arch: Arch = TINY, image: ImageSpec = IMAGE) -> LoadedWeights:
    return import_weights(path, arch=arch, classes=CLASSES, image=image)


def saved(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def same(first: Any, second: Any) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in second)


def test_every_container_gives_the_same_state(tmp_path: Path) -> None:
    state = state_of()
    files = [
        saved(state, tmp_path / "plain.pth"),
        saved(OrderedDict(state), tmp_path / "legacy.th", _use_new_zipfile_serialization=False),
        saved({"state_dict": state, "best_prec1": 91.7, "epoch": 3}, tmp_path / "nested.pt"),
        saved({"model": {"state_dict": state}, "optimizer": {"lr": 1.0}}, tmp_path / "twice.pt"),
        saved({"model_state_dict": state}, tmp_path / "other.pt"),
        tmp_path / "x.safetensors",
        saved({name: nn.Parameter(value) if value.is_floating_point() else value for name, value in state.items()},
              tmp_path / "parameters.pth"),
    ]  # fmt: skip
    safetensors.torch.save_file(state, tmp_path / "x.safetensors")
    for path in files:
        assert same(adopted(path).state, state), path.name


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.module."])
def test_wrapper_prefixes_are_removed(tmp_path: Path, prefix: str) -> None:
    state = state_of()
    path = saved({prefix + name: value for name, value in state.items()}, tmp_path / "x.pth")
    assert same(adopted(path).state, state)


def test_names_of_compiled_submodules_are_understood(tmp_path: Path) -> None:
    state = state_of()
    path = saved({name.replace("layer1.", "layer1._orig_mod."): value for name, value in state.items()}, tmp_path / "x")
    assert same(adopted(path).state, state)


def test_two_keys_for_one_parameter_are_refused(tmp_path: Path) -> None:
    state = state_of()
    path = saved(state | {"module.fc.bias": state["fc.bias"]}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="same name"):
        adopted(path)
    path = saved(state | {"linear.bias": state["fc.bias"]}, tmp_path / "y.pth")
    with pytest.raises(WeightsError, match="mean the same parameter"):
        adopted(path)


def test_head_and_shortcut_are_renamed_and_counters_filled(tmp_path: Path) -> None:
    state = state_of()
    theirs = {
        name.replace("fc.", "linear.").replace(".downsample.", ".shortcut."): value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    assert "layer2.0.shortcut.0.weight" in theirs
    assert same(adopted(saved(theirs, tmp_path / "x.pth")).state, state)


def test_a_projection_in_a_sequential_matches_a_preactivation_net(tmp_path: Path) -> None:
    state = state_of(preact_resnet20)
    theirs = {name.replace("downsample.weight", "shortcut.0.weight"): value for name, value in state.items()}
    assert theirs.keys() != state.keys()
    assert same(adopted(saved(theirs, tmp_path / "x.pth"), preact_resnet20).state, state)


def test_shortcuts_with_parameters_choose_option_b(tmp_path: Path) -> None:
    arch = Arch(**{**resnet20.to_json(), "block_args": {"shortcut": "B"}})
    imported = adopted(saved(state_of(arch), tmp_path / "b.pth"), resnet20).card.arch
    assert (dict(imported.block_args), imported.params) == ({"shortcut": "B"}, None)
    imported = adopted(saved(state_of(resnet20), tmp_path / "a.pth"), resnet20).card.arch
    assert (dict(imported.block_args), imported.params) == ({"shortcut": "A"}, resnet20.params)


@pytest.mark.parametrize(("size", "stem"), [(32, "cifar"), (224, "imagenet")])
def test_the_stem_follows_the_kernel_not_the_size(tmp_path: Path, size: int, stem: str) -> None:
    path = saved(state_of(resnet18, ImageSpec(size=size)), tmp_path / "x.pth")
    for wanted in (48, 96):
        assert adopted(path, resnet18, ImageSpec(size=wanted)).card.arch.stem == stem


def test_tensors_get_the_dtype_of_the_arch(tmp_path: Path) -> None:
    state = state_of()
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    imported = adopted(saved(half, tmp_path / "x.pth")).state
    assert imported["conv1.weight"].dtype == torch.float32
    assert torch.equal(imported["conv1.weight"], half["conv1.weight"].float())


def test_the_card_describes_the_import(tmp_path: Path) -> None:
    card = adopted(saved(state_of(), tmp_path / "x.pth")).card
    assert (card.classes, card.image, card.arch.name, card.arch.stem) == (CLASSES, IMAGE, "tiny", "cifar")
    assert (card.split, dict(card.trained_on), dict(card.plugins.required)) == (None, {}, {})
    assert card.version


@pytest.mark.parametrize("name", registry.names("arch"))
def test_every_arch_can_be_imported(name: str) -> None:
    arch = registry.get("arch", name)
    with torch.device("meta"):
        shapes = build(arch, classes=3, image=IMAGE).state_dict()
    state = {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in shapes.items()}
    imported = adopt(state, Path("x"), arch=arch, classes=CLASSES, image=IMAGE)
    assert list(imported.state) == list(shapes)


def keys_of(text: str) -> list[str]:
    """Return the keys of one line: `layer{1..2}.0.a` is `layer1.0.a` and `layer2.0.a`."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", text)
    if found is None:
        return [text]
    numbers = range(int(found[1]), int(found[2]) + 1)
    return [key for number in numbers for key in keys_of(f"{text[: found.start()]}{number}{text[found.end() :]}")]


def test_names_of_another_project_are_all_listed_beside_ours(tmp_path: Path) -> None:
    state = {f"stem.{name}" if name != "conv1.weight" else name: value for name, value in state_of().items()}
    with pytest.raises(WeightsError) as caught:
        adopted(saved(state, tmp_path / "x.pth"))
    ours = [name for name in state_of() if name != "conv1.weight" and "num_batches" not in name]
    theirs = [name for name in state if name != "conv1.weight"]
    kinds = [problem.partition(": ")[::2] for problem in caught.value.problems]
    named = {kind: [key for own, text in kinds if own == kind for key in keys_of(text.split()[0])] for kind, _ in kinds}
    assert sorted(named["missing"]) == sorted(ours)
    assert sorted(named["unexpected"]) == sorted(theirs)
    assert len(caught.value.problems) < len(ours) + len(theirs)
    assert min(len(ours), len(theirs)) > 6
    with pytest.raises(WeightsError, match="no first convolution") as caught:
        adopted(saved({f"{name}.x": value for name, value in state.items()}, tmp_path / "y.pth"))
    assert [problem.split()[3] for problem in caught.value.problems[1:]] == [f"{name}.x" for name in state]


def test_every_key_that_does_not_match_is_listed(tmp_path: Path) -> None:
    state = state_of()
    del state["bn1.weight"]
    state["extra.weight"] = torch.zeros(2, 2)
    state["linear.weight"] = torch.zeros(5, 8)
    del state["fc.weight"]
    with pytest.raises(WeightsError, match="3 keys do not match") as caught:
        adopted(saved({"module." + name: value for name, value in state.items()}, tmp_path / "x.pth"))
    assert caught.value.exit_code == 3
    assert caught.value.problems == (
        "missing: bn1.weight 4",
        "unexpected: extra.weight 2x2",
        "shape: fc.weight is 5x8, the arch needs 3x8",
    )
    assert caught.value.hint == ("the file has 5 outputs: give 5 class names, not 3",)


def test_the_wrong_arch_gets_a_hint_to_other_archs(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        adopted(saved(state_of(), tmp_path / "x.pth"), resnet20)
    assert caught.value.hint[0].verb == "plugins list"


def test_the_arch_that_fits_the_file_is_named(tmp_path: Path) -> None:
    path = saved(state_of(resnet20), tmp_path / "x.pth")
    with pytest.raises(WeightsError) as caught:
        adopted(path, resnet56)
    assert Setting("arch", "resnet20", note="fits the file") in caught.value.hint
    assert caught.value.problems[-1] == "missing: 175 more"  # not hundreds of lines


def test_the_first_convolution_gives_the_channels(tmp_path: Path) -> None:
    grey = ImageSpec(size=8, channels=1, mean=(0.5,), std=(0.5,))
    path = saved({"module." + name: value for name, value in state_of(TINY, grey).items()}, tmp_path / "x.pth")
    assert input_channels(read_state(path), path) == 1
    for bad in ({"conv1.weight": torch.zeros(3)}, {"stem.weight": torch.zeros(1, 1, 3, 3)}):
        with pytest.raises(WeightsError, match="first convolution"):
            input_channels(bad, path)


def test_numbers_must_be_finite(tmp_path: Path) -> None:
    state = state_of()
    state["fc.bias"][0] = float("nan")
    with pytest.raises(WeightsError, match="NaN or infinity"):
        adopted(saved(state, tmp_path / "x.pth"))


class Trap:
    """A pickle that would run code, if torch allowed it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


class Blocked:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("true",))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    content = {"state_dict": state_of(), "trap": Trap(tmp_path / "ran")}
    path = saved(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="not a state dict of tensors alone") as caught:
        read_state(path)
    assert caught.value.exit_code == 3
    assert "weights_only" not in caught.value.message  # torch's advice to switch the safety off
    assert "open" in caught.value.message
    assert not (tmp_path / "ran").exists()


def test_a_blocked_module_is_named_without_torchs_advice(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"state_dict": state_of(), "trap": Blocked()}, path)
    with pytest.raises(WeightsError, match=r"GLOBAL \w+\.system") as caught:
        read_state(path)
    assert "weights_only" not in caught.value.message


@pytest.mark.parametrize("member", ["m/constants.pkl", "m/code/__torch__.py", "archive_format", "m/archive_format"])
def test_programs_are_recognised_by_their_members(tmp_path: Path, member: str) -> None:
    path = saved(state_of(), tmp_path / "weights.pth")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, "pt2")
    with pytest.raises(WeightsError, match="holds a program"):
        read_state(path)


def test_real_programs_are_refused_whatever_their_name(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    torch.export.save(torch.export.export(model, (torch.zeros(1, 2),)), tmp_path / "exported.pt2")
    (tmp_path / "exported.pt2").rename(tmp_path / "exported.pth")
    with pytest.raises(WeightsError, match="holds a program"):
        read_state(tmp_path / "exported.pth")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(WeightsError, match="compressed"):
        read_state(tmp_path / "bomb.pth")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"PK", b"\x80\x02", b"hello world, not weights", pickle.dumps({"a": 1}), bytes(64)],
)
def test_a_file_of_another_kind_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_state(tmp_path / "x.pth")
    assert caught.value.where == str(tmp_path / "x.pth")


def test_a_text_file_is_refused_as_neither_kind(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(WeightsError, match="neither a safetensors nor a PyTorch file"):
        read_state(tmp_path / "classes.txt")


def test_a_truncated_file_is_one_error(tmp_path: Path) -> None:
    for zipped in (True, False):
        content = saved(state_of(), tmp_path / "whole", _use_new_zipfile_serialization=zipped).read_bytes()
        for length in range(1, len(content), len(content) // 23):
            (tmp_path / "x.pth").write_bytes(content[:length])
            with pytest.raises(WeightsError):
                adopted(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {}, {"state_dict": {}}, 3])
def test_a_file_without_a_state_dict_is_an_error(tmp_path: Path, content: Any) -> None:
    with pytest.raises(WeightsError, match="no state dict"):
        read_state(saved(content, tmp_path / "x.pth"))


def test_values_that_are_no_plain_tensors_are_listed(tmp_path: Path) -> None:
    content = {
        "fine": torch.zeros(2),
        "count": 3,
        "sparse": torch.eye(2).to_sparse(),
        "complex": torch.zeros(2, dtype=torch.complex64),
        "meta": torch.zeros(2, device="meta"),
    }
    with pytest.raises(WeightsError) as caught:
        read_state(saved(content, tmp_path / "x.pth"))
    assert caught.value.problems == tuple(f"not a plain tensor: {name}" for name in content if name != "fine")


def raw_pickle(path: Path, content: bytes) -> None:
    """Write a PyTorch file whose pickle is `content`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")


def wide(path: Path) -> None:
    state = state_of()
    state["conv1.weight"] = torch.zeros(()).expand(4, 10**9, 3, 3)
    torch.save(state, path)


def itself(path: Path) -> None:
    content: dict[str, Any] = {}
    content["state_dict"] = content
    torch.save(content, path)


def damaged_member(path: Path) -> None:
    content = bytearray(saved(state_of(), path).read_bytes())
    stored = state_of()["conv1.weight"].numpy().tobytes()
    content[content.index(stored)] ^= 1
    path.write_bytes(content)


def doubled_member(path: Path) -> None:
    saved(state_of(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/DATA.PKL", b"\x80\x02}.")


def two_directories(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + b"1" * 60 + saved(state_of(), path).read_bytes())


DEEP = b"\x80\x02)" + b"\x85" * 90_000
HOSTILE = {
    "deep tuple": (lambda path: raw_pickle(path, DEEP + b"."), "nested more than"),
    "deep tuple as a key": (lambda path: raw_pickle(path, b"\x80\x02}(" + DEEP[2:] + b"K\x01u."), "nested more than"),
    "deep tuple, old format": (lambda path: path.write_bytes(DEEP + b"."), "nested more than"),
    "itself": (itself, "holds itself"),
    "memory from a number": (
        lambda path: raw_pickle(path, b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x02\x85R."),
        "bytearray",
    ),
    "stride 0": (wide, "more numbers than the file holds"),
    "wrong checksum": (damaged_member, "checksum of"),
    "two pickles": (doubled_member, "2 pickles"),
    "bytes in front": (two_directories, "archive is broken"),
}


def test_hostile_files_are_refused_soon_and_in_little_memory(tmp_path: Path) -> None:
    good = saved(state_of(resnet20), tmp_path / "good")
    for name, (write, _) in HOSTILE.items():
        write(tmp_path / name)
    found = measure("resnetctl.weights.foreign:read_state", [good, *(tmp_path / name for name in HOSTILE)])
    assert found["good"].outcome == "ok"
    for name, (_, match) in HOSTILE.items():
        assert re.match(f"WeightsError: .*{match}", found[name].outcome), name
        assert found[name].seconds < 50 * max(found["good"].seconds, 0.02), name
        assert found[name].megabytes < 100, name


# The proof: ResNet-20 of akamaster/pytorch_resnet_cifar10 counts 8,103 of the 10,000 JPEG test images.
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.mark.certify
def test_real_third_party_weights_keep_their_accuracy(shared_data: Path) -> None:
    image = ImageSpec(size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    weights = import_weights(shared_data / "resnet20-12fca82f.th", arch=resnet20, classes=CIFAR10, image=image)
    model = build(weights.card.arch, classes=10, image=image)
    model.load_state_dict(dict(weights.state))
    model.eval().to(memory_format=torch.channels_last)
    pictures, labels = read_test_split(shared_data / "cifar10-jpeg.tar.xz")
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (image.mean, image.std))
    correct = 0
    with torch.inference_mode():
        for start in range(0, len(labels), 500):
            batch = torch.from_numpy(pictures[start : start + 500]).permute(0, 3, 1, 2).float()
            predicted = model((batch / 255 - mean) / std).argmax(1)
            correct += int((predicted == torch.from_numpy(labels[start : start + 500])).sum())
    assert len(labels) == 10_000
    assert abs(correct - 8103) <= 2


def read_test_split(archive: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return uint8 images (N, 32, 32, 3) and labels (N,) of `test/CLASS/*.jpg`, classes in alphabetical order."""
    pictures, labels = [], []
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = member.name.split("/")
            if member.isfile() and "test" in parts and parts[-1].endswith(".jpg"):
                handle = tar.extractfile(member)
                assert handle is not None
                pictures.append(np.asarray(Image.open(io.BytesIO(handle.read())).convert("RGB")))
                labels.append(CIFAR10.index(parts[-2]))
    return np.stack(pictures), np.array(labels)
