"""The configs of a group are checked with the code of the plugins that they name."""

import pytest
from support.jobs import to_train

from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.errors import ConfigError
from resnetctl.tasks.sweep.checks import require_usable


@pytest.mark.parametrize(
    ("sets", "problem"),
    [
        (["model.block_args.shortcot=A"], "'shortcot' is not an argument: did you mean 'shortcut'?"),
        (["model.block_args.shortcut=3"], "'shortcut' should be like its default 'B', not 3"),
        (["augment=shift", "augment.reech=3"], "'reech' is not an argument: did you mean 'reach'?"),
        (["optim.name=adamw", "optim.args.bets=0.5"], "'bets' is not an argument"),
        (["objective.name=focal", "objective.args.gama=2"], "'gama' is not an argument: did you mean 'gamma'?"),
        (["schedule.args.rate=3"], "'rate' is not an argument"),
    ],
)
def test_an_argument_that_nothing_takes_is_refused(sets: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        require_usable(to_train(from_sets(sets)))
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize(
    "sets",
    [["model.arch=resnet50"], ["model.block_args.shortcut=A"], ["augment.reach=2"], ["model.head=ssd", "size=64"]],
)
def test_what_fits_passes_and_the_policy_of_the_data_is_unknown(sets: list[str]) -> None:
    require_usable(to_train(from_sets(sets)))
