"""A weights file has the same bytes each time, keeps its card, and every kind of damage is detected."""

import dataclasses
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from resnetctl.errors import WeightsError
from resnetctl.hints import Call, in_shell
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec, ValSplit, WeightsCard
from resnetctl.system.safetensors import digest
from resnetctl.weights import file as weights_file
from resnetctl.weights.file import (
    LoadedWeights,
    load,
    load_model,
    load_network,
    newest,
    read_card,
    read_header,
    save,
    to_bytes,
)

ARCH = Arch(name="tiny", block="basic", depths=(1, 1), widths=(4, 8), stem="cifar", block_args={"shortcut": "A"})
IMAGE = ImageSpec(size=8, channels=1, mean=(0.1,), std=(0.7,))


def card(**changes: Any) -> WeightsCard:
    whole = WeightsCard(
        arch=ARCH,
        classes=("Katze", "été", "犬"),
        image=IMAGE,
        trained_on={"name": "digits", "digest": "ab"},
        split=ValSplit(val_fraction=0.1, seed=3, digest="cd"),
        metrics={"epoch": 9, "val_top1": 0.1 + 0.2},
        config_sha256="ef",
        version="0.1.0",
    )
    return dataclasses.replace(whole, **changes)


def network(seed: int = 0) -> ResNet:
    torch.manual_seed(seed)
    return build(ARCH, classes=3, image=IMAGE)


def write(path: Path, state: dict[str, Tensor], card: WeightsCard) -> None:
    save(path, LoadedWeights(path=path, state=state, card=card))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write(path, network().state_dict(), card())
    return path


def test_the_round_trip_is_exact(saved: Path) -> None:
    model = network().eval()
    loaded, read = load_model(saved)
    assert read == card()
    assert not loaded.training
    assert list(loaded.state_dict()) == list(model.state_dict())
    pictures = torch.randn(3, 1, 8, 8)
    assert torch.equal(loaded(pictures), model(pictures))


def test_bytes_do_not_depend_on_strides_order_or_gradients() -> None:
    model = network()
    first = to_bytes(model.state_dict(), card())
    shuffled = dict(reversed(model.state_dict().items()))
    channels_last = model.to(memory_format=torch.channels_last)
    assert to_bytes(shuffled, card()) == first
    assert to_bytes(channels_last.state_dict(), card()) == first
    assert to_bytes(dict(channels_last.state_dict(keep_vars=True)), card()) == first


def test_bytes_do_not_depend_on_the_process() -> None:
    code = (
        "import hashlib, torch; from resnetctl.spec import *; from resnetctl.weights.file import to_bytes; "
        "card = WeightsCard(arch=Arch(name='x', block='basic', depths=(1,), widths=(4,)), classes=('a', 'b'), "
        "image=ImageSpec(size=8), metrics={'b': 1, 'a': 2}); "
        "print(hashlib.sha256(to_bytes({'w': torch.ones(3), 'v': torch.zeros(2)}, card)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_tensors_that_share_memory_are_written_apart(tmp_path: Path) -> None:
    one = torch.arange(4.0)
    write(tmp_path / "x", {"a": one, "b": one[:2]}, card())
    assert load(read_header(tmp_path / "x")).state["b"].tolist() == [0.0, 1.0]


def test_other_safetensors_readers_can_read_the_file(saved: Path) -> None:
    state = safetensors.torch.load_file(saved)
    assert set(state) == set(network().state_dict())
    with safetensors.safe_open(saved, "pt") as file:
        assert set(file.metadata()) == {"resnetctl"}


def test_the_header_is_read_without_torch(saved: Path) -> None:
    header = read_header(saved)
    assert header.card == card()
    assert header.sha256 == digest(network().state_dict())
    assert header.layout.tensors["conv1.weight"].shape == (4, 1, 3, 3)
    code = (
        "import sys; from pathlib import Path; from resnetctl.weights.file import read_card; "
        "read_card(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(saved)], check=False).returncode == 0


def test_loading_leaves_the_random_state_alone(saved: Path) -> None:
    state = torch.get_rng_state()
    load_model(saved)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_dtypes_and_odd_shapes_survive(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {"scalar": torch.ones((), dtype=dtype), "empty": torch.ones((0, 3), dtype=dtype)}
    write(tmp_path / "x", state, card())
    state = load(read_header(tmp_path / "x")).state
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in state.items()} == {
        "scalar": (dtype, ()),
        "empty": (dtype, (0, 3)),
    }


def test_an_onnx_file_is_recognised_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(20))
    with pytest.raises(WeightsError, match="looks like an ONNX file") as caught:
        read_header(path)
    assert caught.value.hint[0] == Call("eval", (path,))


def test_a_flipped_bit_is_detected(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-5] ^= 1
    saved.write_bytes(content)
    with pytest.raises(WeightsError, match="do not match the digest") as caught:
        load(read_header(saved))
    assert caught.value.hint


def test_weights_that_a_training_has_replaced_are_read_again(saved: Path) -> None:
    header = read_header(saved)
    write(saved, network(1).state_dict(), card(metrics={"epoch": 7}))
    net, newer = newest(header, load_network)
    assert newer.card.metrics == {"epoch": 7}
    assert torch.equal(net.fc.weight, network(1).fc.weight)
    content = bytearray(saved.read_bytes())
    content[-5] ^= 1
    saved.write_bytes(content)
    with pytest.raises(WeightsError, match="do not match the digest"):
        newest(newer, load_network)


def test_every_truncation_is_detected(saved: Path) -> None:
    content = saved.read_bytes()
    for length in [*range(64), *range(64, len(content), 97), len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            load(read_header(saved))
    saved.write_bytes(content + b"\0")
    with pytest.raises(WeightsError, match="longer than its header says"):
        load(read_header(saved))


def rewrite(path: Path, change: Any) -> None:
    """Put another card into the file, tensors untouched."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    body = json.loads(header["__metadata__"]["resnetctl"])
    header["__metadata__"]["resnetctl"] = json.dumps(change(body) or body)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def sealed(body: dict[str, Any]) -> dict[str, Any]:
    """Return a card with a correct digest of its own, as an attacker would write it."""
    described = {name: value for name, value in body.items() if name not in weights_file.DIGESTS}
    return body | {"card_sha256": weights_file._card_digest(described)}


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["image"].update(mean=[0.2]),
        lambda body: body.pop("sha256") and None,
        lambda body: sealed(body | {"surprise": 1}),
        lambda body: sealed(body | {"arch": 3}),
        lambda body: sealed(body | {"arch": body["arch"] | {"depths": []}}),
        lambda body: sealed(body | {"arch": body["arch"] | {"depths": [10**12, 1]}}),
        lambda body: sealed(body | {"classes": None}),
        lambda body: sealed(body | {"classes": [1, 2, 3]}),
        lambda body: sealed(body | {"split": 0.5}),
        lambda body: sealed(body | {"image": body["image"] | {"std": [0]}}),
        lambda body: sealed({name: value for name, value in body.items() if name != "arch"}),
        lambda body: [1],
    ],
)
def test_a_broken_card_is_one_error(saved: Path, change: Any) -> None:
    rewrite(saved, change)
    with pytest.raises(WeightsError, match="card of the weights is broken"):
        read_card(saved)


def test_a_card_of_a_newer_schema_is_refused_with_the_upgrade(saved: Path) -> None:
    rewrite(saved, lambda body: sealed(body | {"schema": 2}))
    with pytest.raises(WeightsError, match="schema 2, this version reads 1") as caught:
        read_card(saved)
    assert caught.value.hint == ("pip install --upgrade resnetctl",)


def test_a_card_that_claims_a_huge_net_takes_no_memory(saved: Path) -> None:
    arch = {"widths": [60_000, 60_000]}
    rewrite(saved, lambda body: sealed(body | {"arch": body["arch"] | arch}))
    with pytest.raises(WeightsError, match="do not match the arch") as caught:
        load_model(saved)
    assert any("conv1.weight is 4x1x3x3, the arch needs 60000x1x3x3" in line for line in caught.value.problems)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    state = network().state_dict()
    state["layer1.0.bn1.running_mean"][2] = value
    write(tmp_path / "x", state, card())
    with pytest.raises(WeightsError, match="NaN or infinity") as caught:
        load(read_header(tmp_path / "x"))
    assert caught.value.problems == ("not finite: layer1.0.bn1.running_mean",)


def test_every_tensor_that_does_not_match_the_card_is_listed(tmp_path: Path) -> None:
    state = network().state_dict()
    state["extra"] = state.pop("conv1.weight")
    state["fc.bias"] = torch.zeros(4)
    write(tmp_path / "x", state, card())
    with pytest.raises(WeightsError, match="3 keys do not match") as caught:
        load_model(tmp_path / "x")
    assert caught.value.problems == (
        "missing: conv1.weight 4x1x3x3",
        "unexpected: extra 4x1x3x3",
        "shape: fc.bias is 4, the arch needs 3",
    )


def test_a_file_without_a_card_offers_to_import_it(tmp_path: Path) -> None:
    plain, pickled = tmp_path / "plain.safetensors", tmp_path / "model.pth"
    safetensors.torch.save_file(network().state_dict(), plain)
    torch.save(network().state_dict(), pickled)
    for path in (plain, pickled):
        with pytest.raises(WeightsError) as caught:
            load(read_header(path))
        assert in_shell(caught.value.hint[0]).startswith(f"resnetctl weights import {path} --arch")


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file") as caught:
        load_model(tmp_path / "none.safetensors")
    assert caught.value.exit_code == 3


def test_the_header_of_the_deepest_arch_is_within_the_limit(tmp_path: Path) -> None:
    from resnetctl.models.archs import resnet1202

    with torch.device("meta"):
        names = build(resnet1202, classes=10, image=ImageSpec(size=32)).state_dict()
    state = {name: torch.zeros(()) for name in names}
    write(tmp_path / "x", state, card())
    assert len(read_header(tmp_path / "x").layout.tensors) == len(names)


def test_loading_a_model_parses_the_header_once(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    read = weights_file.read_layout

    def counted(*args: Any, **options: Any) -> Any:
        parsed.append(1)
        return read(*args, **options)

    monkeypatch.setattr(weights_file, "read_layout", counted)
    load_model(saved)
    assert len(parsed) == 1
