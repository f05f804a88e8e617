"""The options of `data add` have the defaults of the command."""

from resnetctl.cli.parser.store_options import DataAddOptions
from resnetctl.data.storage.options import Options


def test_the_defaults_are_those_of_the_command() -> None:
    command = {name: field.default for name, field in DataAddOptions.model_fields.items()}
    own = vars(Options())
    assert own == {name: command[name] for name in own}
