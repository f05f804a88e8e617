"""The options of `sweep`, `recipes` and `slurm` have limits. That they are well formed is tested with all others."""

import pytest
from pydantic import BaseModel, ValidationError

from resnetctl.cli.parser import scale_options as options


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (options.SweepRunOptions, {}),
        (options.SweepRunOptions, {"file": "a.toml", "halving": -1}),
        (options.SweepGroupOptions, {}),
        (options.RecipesVerifyOptions, {"name": "fast", "seeds": 0}),
        (options.SlurmOptions, {"target": "last", "nodes": 0}),
        (options.SlurmOptions, {"target": "last", "time": "soon"}),
    ],
)
def test_what_is_missing_or_out_of_range_is_refused(model: type[BaseModel], values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values)


def test_a_time_has_a_unit() -> None:
    for text, seconds in (("90min", 5400.0), ("12h", 43_200.0), ("1h30min", 5400.0)):
        assert options.SlurmOptions.model_validate({"target": "last", "time": text}).time == seconds
    assert options.SlurmOptions.model_validate({"target": "last"}).time == 4 * 3600
