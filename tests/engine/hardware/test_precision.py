import pytest
import torch

from resnetctl.engine.checkpoint import machine_facts
from resnetctl.engine.hardware import precision
from resnetctl.errors import UsageError
from resnetctl.hints import Setting


def test_checkpoints_in_bf16_name_the_instructions_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: "amx_bf16")
    assert machine_facts(precision="bf16")["bf16"] == "amx_bf16"
    assert "bf16" not in machine_facts()


@pytest.mark.parametrize(
    ("instructions", "expected"), [("amx_bf16", "bf16"), ("avx512_bf16", "bf16"), ("bf16", "fp32"), ("", "fp32")]
)
def test_auto_precision_on_a_cpu_follows_its_instructions(
    monkeypatch: pytest.MonkeyPatch, instructions: str, expected: str
) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: instructions)
    assert precision.pick_precision("auto", torch.device("cpu")) == expected
    assert precision.pick_precision("fp32", torch.device("cpu")) == "fp32"


@pytest.mark.parametrize(("emulates", "expected"), [(True, "fp32"), (False, "bf16")])
def test_auto_precision_on_cuda_is_bf16_only_where_it_is_not_emulated(
    monkeypatch: pytest.MonkeyPatch, emulates: bool, expected: str
) -> None:
    """A T4 emulates bf16, and torch says that it supports it."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or not emulates
    )
    assert precision.pick_precision("auto", torch.device("cuda")) == expected
    assert precision.pick_precision("bf16", torch.device("cuda")) == "bf16"


def test_val_is_measured_in_fp32_on_a_cpu_and_in_the_precision_of_training_on_cuda() -> None:
    assert precision.evaluation_precision("bf16", torch.device("cpu")) == "fp32"
    assert precision.evaluation_precision("bf16", torch.device("cuda")) == "bf16"


def test_bf16_is_refused_on_a_processor_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: "")
    with pytest.raises(UsageError, match="no bf16 arithmetic"):
        precision.pick_precision("bf16", torch.device("cpu"))


def test_bf16_is_accepted_on_a_processor_with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: "bf16")
    assert precision.pick_precision("bf16", torch.device("cpu")) == "bf16"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="'half' is not a precision"):
        precision.pick_precision("half", torch.device("cpu"))


@pytest.mark.parametrize("name", ["cpu", "mps"])
def test_fp16_is_refused_on_devices_other_than_cuda(name: str) -> None:
    with pytest.raises(UsageError, match=f"fp16 needs a CUDA device, and this run is on {name}") as caught:
        precision.pick_precision("fp16", torch.device(name))
    assert caught.value.hint == (Setting("precision", "auto"),)
    assert precision.pick_precision("fp16", torch.device("cuda")) == "fp16"
