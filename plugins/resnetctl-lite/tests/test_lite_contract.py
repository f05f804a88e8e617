"""What resnetctl asks of a block, on every block and option of this package."""

import copy
import io
import math
from collections.abc import Iterator

import numpy as np
import onnxruntime
import pytest
import torch
from resnetctl_lite.blocks import InvertedBottleneckBlock, SeparableBlock
from torch import Tensor, nn

CASES = [
    (SeparableBlock, {}),
    (SeparableBlock, {"shortcut": "A"}),
    (InvertedBottleneckBlock, {}),
    (InvertedBottleneckBlock, {"shortcut": "A", "expand": 2}),
]


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, (case[0].__name__, *case[1].values()))))
def make(request: pytest.FixtureRequest):
    """Builds one block with one set of options."""
    block, options = request.param
    return lambda in_channels, width, stride=1: block(in_channels, width, stride=stride, **options)


def jitter(module: nn.Module) -> nn.Module:
    """Moves every parameter and running statistic, so that no test rests on zeros and ones."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for name, buffer in module.named_buffers():
            if name.endswith(("mean", "var")):
                buffer.add_(torch.rand_like(buffer) * 0.5)
    return module


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9), (1, 1), (2, 5), (3, 1)])
@pytest.mark.parametrize(("in_channels", "channels"), [(8, 8), (6, 10), (16, 32)])
def test_shapes(make, stride: int, height: int, width: int, in_channels: int, channels: int) -> None:
    block = make(in_channels, channels, stride)
    out = block(torch.randn(3, in_channels, height, width))
    rows, columns = math.ceil(height / stride), math.ceil(width / stride)
    assert out.shape == (3, channels * block.expansion, rows, columns)


@pytest.mark.parametrize("stride", [1, 2])
def test_every_parameter_gets_a_gradient(make, stride: int) -> None:
    block = jitter(make(16, 16, stride))
    images = torch.randn(8, 16, 6, 6, requires_grad=True)
    (block(images) * torch.randn(8, 16 * block.expansion, 6 // stride, 6 // stride)).sum().backward()
    dead = [name for name, parameter in block.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert not dead
    assert images.grad.abs().sum() > 0


def test_the_input_is_not_changed_and_evaluation_repeats(make) -> None:
    block = make(16, 16).train()
    images = torch.randn(4, 16, 5, 5)
    before = images.clone()
    block(images)
    assert torch.equal(images, before)
    block.eval()
    assert torch.equal(block(images), block(images))


def test_an_image_does_not_depend_on_its_batch_in_evaluation(make) -> None:
    block = jitter(make(16, 16, 2)).eval()
    images = torch.randn(4, 16, 6, 6)
    torch.testing.assert_close(block(images)[:1], block(images[:1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_channels_last_goes_through(make, stride: int) -> None:
    block = jitter(make(16, 32, stride)).eval()
    images = torch.randn(2, 16, 7, 7)
    expected = block(images)
    out = block.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16(make) -> None:
    block = make(16, 32, 2).to(torch.bfloat16)
    out = block(torch.randn(4, 16, 6, 6, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    assert out.isfinite().all()


def test_state_goes_round_and_copies_are_independent(make) -> None:
    block = jitter(make(16, 32, 2)).eval()
    images = torch.randn(2, 16, 6, 6)
    twin = make(16, 32, 2).eval()
    assert list(twin.state_dict()) == list(block.state_dict())
    twin.load_state_dict(block.state_dict())
    clone = copy.deepcopy(block)
    assert torch.equal(twin(images), block(images))
    expected = block(images)
    jitter(block)
    assert torch.equal(clone(images), expected)
    assert not torch.equal(block(images), expected)


def test_only_the_shortcut_is_called_downsample(make) -> None:
    assert isinstance(make(16, 16 // make(16, 16).expansion).downsample, nn.Identity)
    assert not isinstance(make(16, 32, 2).downsample, nn.Identity)


def exported(block: nn.Module, example: Tensor) -> onnxruntime.InferenceSession:
    program = torch.onnx.export(
        block, (example,), input_names=["images"], dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=20, dynamo=True, verbose=False,
    )  # fmt: skip
    buffer = io.BytesIO()
    program.save(buffer)
    return onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("side", [6, 7])
def test_onnx_agrees_at_any_batch_size(make, side: int) -> None:
    block = jitter(make(8, 16, 2)).eval()
    session = exported(block, torch.randn(2, 8, side, side))
    for batch in (1, 2, 5):
        images = torch.randn(batch, 8, side, side)
        (found,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, block(images).numpy(), rtol=1e-4, atol=1e-5)


def test_compiled_graph_agrees(make) -> None:
    block = jitter(make(16, 16, 2)).eval()
    images = torch.randn(2, 16, 6, 6)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), block(images), rtol=1e-5, atol=1e-6)
    torch._dynamo.reset()
