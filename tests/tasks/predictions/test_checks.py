"""Options of `predict` that do not suit the network are refused by name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.trained import card

from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Setting, in_shell
from resnetctl.spec import Calibration
from resnetctl.tasks.predictions import checks

CALIBRATED = card(calibration=Calibration(temperature=1.0, sets={"0.9": 0.25, "0.95": 0.1}, images=120))


@pytest.mark.parametrize(
    ("check", "value", "where"),
    [
        (checks.require_no_folder, Path("drawn"), "out"),
        (checks.require_no_set, 0.9, "set"),
        (checks.require_no_score, 0.0, "min_score"),
    ],
)
def test_an_option_of_another_kind_of_network_is_refused(
    check: Callable[[object], None], value: object, where: str
) -> None:
    check(None)
    with pytest.raises(UsageError) as caught:
        check(value)
    assert caught.value.where == Setting(where)


@pytest.mark.parametrize("top", [0, -1])
def test_no_class_cannot_be_listed(top: int) -> None:
    checks.check_top(1)
    with pytest.raises(UsageError, match=f"{top} classes"):
        checks.check_top(top)


def test_a_set_has_the_threshold_of_its_level() -> None:
    assert checks.set_threshold(CALIBRATED, 0.9, where=Path("net")) == 0.25


@pytest.mark.parametrize(("level", "message"), [(0.5, "no prediction sets of level 0.5"), (1.5, "not 1.5")])
def test_another_level_is_refused(level: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checks.set_threshold(CALIBRATED, level, where=Path("net"))


def test_a_card_without_sets_names_the_command_that_measures_them() -> None:
    with pytest.raises(Exception, match="no prediction sets") as caught:
        checks.set_threshold(card(), 0.9, where=Path("net"))
    (hint,) = caught.value.hint  # type: ignore[attr-defined]
    assert hint.targets == (Path("net"),)
    assert hint.settings == {"data": "NAME", "calibrate": "NEW.safetensors"}
    assert hint.note == "NAME: a dataset with the same classes and 100 val images"


def test_an_onnx_file_without_sets_is_calibrated_before_the_export() -> None:
    with pytest.raises(InputError, match="no prediction sets") as caught:
        checks.set_threshold(card(), 0.9, where=Path("cells.onnx"))
    (hint,) = map(in_shell, caught.value.hint)
    assert hint.startswith("resnetctl report WEIGHTS --data NAME --calibrate NEW.safetensors")
    assert "then export NEW.safetensors" in hint
