"""`rc.backbone` takes an arch, a run or a weights file."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from support.trained import ARCH, card, make_run

import resnetctl as rc
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call

PAGE = Path(__file__).parents[1] / "docs/how-to/backbones.md"


def test_an_arch_by_name_starts_fresh_with_the_stem_of_its_paper() -> None:
    photos, small = rc.backbone("resnet10_wd2"), rc.backbone("resnet20", ("layer1", "layer3"))
    assert photos.reductions == {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
    assert small.reductions == {"layer1": 1, "layer3": 4}
    assert photos.training


def test_an_arch_object_and_the_channels_can_be_given() -> None:
    assert rc.backbone(ARCH, channels=5)(torch.randn(1, 5, 8, 8))["layer2"].shape == (1, 8, 4, 4)


def test_the_weights_of_a_run_give_the_features_that_its_head_reads() -> None:
    make_run(card())
    model, _ = rc.load("first")
    images = torch.randn(2, 1, 8, 8)
    with torch.inference_mode():
        for source in ("first", None, "runs/first/model.safetensors"):
            features = rc.backbone(source)(images)
            assert torch.equal(model.head(features["layer2"]), model(images))


def test_weights_are_adapted_to_other_channels() -> None:
    make_run(card())
    assert rc.backbone("first", channels=3)(torch.randn(1, 3, 8, 8))["layer1"].shape == (1, 4, 8, 8)


def test_what_has_no_weights_is_refused() -> None:
    run = make_run(card())
    run.write_onnx(b"")
    with pytest.raises(UsageError, match="ONNX"):
        rc.backbone(run.onnx)
    with pytest.raises(InputError, match="no run 'resnet21'"):
        rc.backbone("resnet21")


@pytest.mark.parametrize("channels", [0, -1])
def test_images_without_a_channel_are_a_wrong_argument(channels: int) -> None:
    with pytest.raises(UsageError, match=f"1 channel or more, not {channels}") as caught:
        rc.backbone("resnet20", channels=channels)
    assert caught.value.exit_code == 2


def test_a_misspelt_argument_is_no_silent_default() -> None:
    with pytest.raises(UsageError, match="unknown argument 'output_strides"):
        rc.backbone("resnet20", output_strides=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_an_output_stride_keeps_the_channels_and_the_weights(stride: int) -> None:
    plain = rc.backbone(ARCH, channels=1)
    selected = plain.select(output_stride=min(stride, max(plain.reductions.values())))
    assert selected.channels == plain.channels
    assert max(selected.reductions.values()) <= stride
    state = plain.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in selected.state_dict().items())


def test_outputs_are_renamed_and_follow_the_order_of_the_network() -> None:
    found = rc.backbone("resnet20", {"layer3": "last", "stem": "first"})
    assert list(found.channels) == list(found(torch.randn(1, 3, 16, 16))) == ["first", "last"]
    assert found.stages == ("layer1", "layer2", "layer3")
    with pytest.raises(UsageError, match="no features 'layer4'") as caught:
        rc.backbone("resnet20", ("layer4",))
    assert any("layer" in str(hint) for hint in caught.value.hint)
    for out in ((), {"layer1": "x", "layer2": "x"}):
        with pytest.raises(UsageError, match="outputs with different names"):
            rc.backbone("resnet20", out)


def test_a_wrong_name_is_about_archs_and_runs(machine: Path) -> None:
    with pytest.raises(InputError, match="there is no arch and no run 'resnet65'") as caught:
        rc.backbone("resnet65")
    assert caught.value.hint[0] == "did you mean 'resnet56'?"
    assert any(isinstance(hint, Call) and hint.verb == "plugins list" for hint in caught.value.hint)
    with pytest.raises(InputError) as caught:
        rc.backbone("torchvision:resnet18")
    assert caught.value.hint[0].verb == "finetune"  # type: ignore[union-attr]
    make_run(card())
    for name, problem in (("runs/one", "no such file or folder"), ("missing/one", "no such file or folder")):
        with pytest.raises(InputError, match=problem):
            rc.backbone(f"{name}s")


@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_the_networks_of_the_page_train_and_predict() -> None:
    """Its code as it stands, with a small arch in the place of resnet18 and resnet50."""
    names: dict[str, Any] = {"images": torch.randn(2, 3, 64, 64)}
    used = []
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        if "segmentation_models_pytorch" in code and find_spec("segmentation_models_pytorch") is None:
            continue
        exec(re.sub("resnet(18|50)", "resnet10_wd2", code), names)
        if "FasterRCNN(" in code:
            _detects(names["detector"])
            used.append("FasterRCNN")
        elif "model = " in code:
            scores = names["model"].train()(torch.randn(2, 3, 64, 64))
            scores = scores["out"] if isinstance(scores, dict) else scores
            scores.sum().backward()
            assert scores.shape[2:] == (64, 64)
            used.append(type(names["model"]).__name__)
    assert used[:3] == ["FasterRCNN", "FasterRCNN", "DeepLabV3"]


def _detects(detector: Any) -> None:
    detector.transform.min_size, detector.transform.max_size = (64,), 64
    truth = [{"boxes": torch.tensor([[5.0, 5.0, 40.0, 40.0]]), "labels": torch.tensor([1])}]
    losses = detector.train()([torch.rand(3, 64, 64)], truth)
    sum(losses.values()).backward()
    assert detector.eval()([torch.rand(3, 64, 64)])[0]["boxes"].shape[1] == 4
