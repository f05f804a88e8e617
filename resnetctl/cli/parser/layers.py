"""The layers of a config, from a command line."""

from pathlib import Path
from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Given
from resnetctl.cli.parser.options import LayerOptions

if TYPE_CHECKING:
    from resnetctl.config.layers import Layer


def layers(given: Given[LayerOptions]) -> "list[Layer]":
    """Return the layers, weakest first: recipe, `./resnetctl.toml`, `--config`, `--set` and flags.

    Raises `UsageError` and `ConfigError`.
    """
    from resnetctl.config.layers import LOCAL_FILE, from_file, from_flags, from_recipe, from_sets, together

    options = given.options
    found = []
    if options.recipe:
        found.append(from_recipe(options.recipe))
    if Path(LOCAL_FILE).is_file():
        found.append(from_file(Path(LOCAL_FILE)))
    if options.config_file is not None:
        found.append(from_file(options.config_file))
    return [*found, together(from_sets(options.sets), from_flags(given.values, given.names))]
