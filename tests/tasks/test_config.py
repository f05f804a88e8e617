import subprocess
import sys
from pathlib import Path

import pytest
from support.datasets import tiny

from resnetctl.config.layers import Layer, from_flags, from_sets
from resnetctl.errors import ConfigError, UsageError
from resnetctl.system import settings
from resnetctl.tasks.config import require_free, show
from resnetctl.tasks.train import TrainRequest, train


def test_defaults_follow_the_card_of_a_built_in_that_was_never_fetched() -> None:
    found = show([from_sets(["data=digits"])], settings.load())
    assert found.config.augment == "shift"
    assert found.origins["augment"] == "default"
    assert found.origins["data"] == "--set"


def test_defaults_follow_the_card_in_the_store() -> None:
    tiny(settings.load().data_dir)
    assert show([from_sets(["data=tiny"])], settings.load()).config.batch_size == 16


def test_a_deep_arch_gets_its_warm_up() -> None:
    assert show([from_sets(["model.arch=resnet110"])], settings.load()).config.warmup == 1.0
    assert show([from_sets(["model.arch=resnet20"])], settings.load()).config.warmup == 0.0


def test_a_path_that_is_not_in_the_store_shows_what_is_known() -> None:
    assert show([from_sets(["data=./photos"])], settings.load()).config.data == "./photos"


def test_finetune_starts_from_its_recipe() -> None:
    found = show([from_sets(["data=digits", "lr=0.3"])], settings.load(), verb="finetune")
    assert found.config.epochs == 20
    assert found.origins["epochs"] == "recipe finetune"
    assert found.origins["lr"] == "--set"
    assert "freeze" in found.origins


@pytest.mark.parametrize("verb", ["train", "finetune"])
def test_what_the_environment_settles_is_shown(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETCTL_THREADS", "3")
    settings.load.cache_clear()
    found = show([from_sets(["data=digits"])], settings.load(), verb=verb)
    assert (found.config.threads, found.origins["threads"]) == (3, "env RESNETCTL_THREADS")
    assert show([from_sets(["data=digits", "threads=1"])], settings.load(), verb=verb).config.threads == 1


def test_mistakes_are_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        show([from_sets(["epochz=1", "lr=-1"])], settings.load())
    assert len(caught.value.problems) == 2


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from resnetctl.system import settings; from resnetctl.config.layers import from_sets\n"
        "from resnetctl.tasks.config import show; show([from_sets(['data=digits'])], settings.load())\n"
        "print([name for name in ('torch', 'torchvision', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_finetune_says_what_comes_from_the_weights(tmp_path: Path) -> None:
    tiny(settings.load().data_dir)
    list(train(TrainRequest(layers=[from_sets(["data=tiny", "epochs=1", "model.arch=resnet32"])]), settings.load()))
    found = show([from_sets(["data=tiny"])], settings.load(), verb="finetune")
    assert (found.config.model.arch, found.origins["model.arch"]) == ("resnet32", "weights")


def test_a_path_that_is_in_the_store_is_known_by_its_card() -> None:
    Path("tiny").mkdir()
    tiny(settings.load().data_dir)
    assert show([from_sets(["data=./tiny"])], settings.load()).config.batch_size == 16


FIXED = from_flags({"epochs": 3, "threads": 1}, {"epochs": "--epochs", "threads": "--threads"})


def test_what_a_flag_fixes_is_not_found_out() -> None:
    with pytest.raises(UsageError, match="--budget finds out what --epochs says"):
        require_free([FIXED], budget=True, tune=False)
    with pytest.raises(UsageError, match="--tune finds out what --threads says"):
        require_free([FIXED], budget=False, tune=True)
    with pytest.raises(UsageError, match="what steps says"):
        require_free([Layer({"steps": 9}, {"steps": "argument steps"})], budget=True, tune=False)
    require_free([FIXED], budget=False, tune=False)


def test_what_is_weaker_than_a_flag_gives_way() -> None:
    require_free([from_sets(["epochs=3", "threads=1"])], budget=True, tune=True)
