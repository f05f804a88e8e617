"""Required arguments of the commands that manage what is kept."""

import pytest
from pydantic import BaseModel, ValidationError

from resnetctl.cli.parser import store_options as options


@pytest.mark.parametrize("model", [options.DataCheckOptions, options.WeightsImportOptions, options.PluginsNewOptions])
def test_a_required_argument_is_required(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate({})
