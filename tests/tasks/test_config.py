import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.datasets import tiny
from support.jobs import to_finetune, to_train

from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.draft import Draft
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError
from resnetctl.system import settings
from resnetctl.tasks.config import show
from resnetctl.tasks.train import train


def test_defaults_follow_the_card_of_a_built_in_dataset_that_is_not_fetched_yet() -> None:
    resolved = show(to_train(from_sets(["data=digits"])), settings.load())
    assert resolved.config.augment == "shift"
    assert resolved.origins["augment"] == "dataset digits"
    assert resolved.origins["data"] == "--set"


def test_defaults_follow_the_card_in_the_store() -> None:
    tiny(settings.load().data_dir)
    assert show(to_train(from_sets(["data=tiny"])), settings.load()).config.batch_size == 16


def test_a_deep_arch_gets_its_warm_up() -> None:
    resolved = show(to_train(from_sets(["model.arch=resnet110"])), settings.load())
    assert (resolved.config.warmup, resolved.origins["warmup"]) == (1.0, "arch resnet110")
    assert show(to_train(from_sets(["model.arch=resnet20"])), settings.load()).config.warmup == 0.0


def test_a_path_that_is_not_in_the_store_is_shown_as_it_is() -> None:
    assert show(to_train(from_sets(["data=./photos"])), settings.load()).config.data == "./photos"


def test_finetune_starts_from_its_recipe() -> None:
    resolved = show(to_finetune(from_sets(["data=digits", "lr=0.3"])), settings.load())
    assert resolved.config.epochs == 20
    assert resolved.origins["epochs"] == "recipe finetune"
    assert resolved.origins["lr"] == "--set"
    assert "freeze" in resolved.origins


@pytest.mark.parametrize("to_draft", [to_train, to_finetune])
def test_values_from_the_environment_are_shown(
    to_draft: Callable[..., Draft[TrainConfig]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESNETCTL_THREADS", "3")
    settings.load.cache_clear()
    resolved = show(to_draft(from_sets(["data=digits"])), settings.load())
    assert (resolved.config.threads, resolved.origins["threads"]) == (3, "env RESNETCTL_THREADS")
    assert show(to_draft(from_sets(["data=digits", "threads=1"])), settings.load()).config.threads == 1


def test_mistakes_are_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        show(to_train(from_sets(["epochz=1", "lr=-1"])), settings.load())
    assert len(caught.value.problems) == 2


def test_config_show_needs_no_torch() -> None:
    code = (
        "import sys; from resnetctl.system import settings; from resnetctl.cli.parser.flag_layers import from_sets\n"
        "from resnetctl.config.draft import draft; from resnetctl.config.schema import TrainConfig\n"
        "from resnetctl.tasks.config import show; machine = settings.load()\n"
        "show(draft(TrainConfig, [from_sets(['data=digits'])], settings=machine), machine)\n"
        "print([name for name in ('torch', 'torchvision', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_arch_of_finetune_comes_from_the_weights(tmp_path: Path) -> None:
    tiny(settings.load().data_dir)
    list(train(to_train(from_sets(["data=tiny", "epochs=1", "model.arch=resnet32"])), settings.load()))
    resolved = show(to_finetune(from_sets(["data=tiny"])), settings.load())
    assert (resolved.config.model.arch, resolved.origins["model.arch"]) == ("resnet32", "weights")


def test_defaults_follow_the_card_of_a_path_that_is_in_the_store() -> None:
    Path("tiny").mkdir()
    tiny(settings.load().data_dir)
    assert show(to_train(from_sets(["data=./tiny"])), settings.load()).config.batch_size == 16
