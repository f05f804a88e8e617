"""The layers of a config from a command line, and the draft that a verb begins with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.cli.parser.command import Given
from resnetctl.cli.parser.options import LayerOptions, RunOptions

if TYPE_CHECKING:
    from resnetctl.config.draft import Config, Draft
    from resnetctl.config.layers import Layer


def layers(given: Given[LayerOptions]) -> "list[Layer]":
    """Return the layers, weakest first: recipe, `./resnetctl.toml`, `--config`, `--set` and flags.

    Raises `UsageError` and `ConfigError`.
    """
    from resnetctl.cli.parser.flag_layers import from_flags, from_sets
    from resnetctl.config.layers import LOCAL_FILE, from_file, from_recipe, together

    options = given.options
    found = []
    if options.recipe:
        found.append(from_recipe(options.recipe))
    if Path(LOCAL_FILE).is_file():
        found.append(from_file(Path(LOCAL_FILE)))
    if options.config_file is not None:
        found.append(from_file(options.config_file))
    return [*found, together(from_sets(options.sets), from_flags(given.values, given.names))]


def draft(given: "Given[Any]", kind: "type[Config]") -> "Draft[Config]":
    """Return the draft of a config of this kind: recipe and files are read here, and nowhere again.

    Raises `UsageError`, `ConfigError` for every mistake that needs neither data nor PyTorch.
    """
    from resnetctl.config import draft as drafts
    from resnetctl.system import settings

    options = given.options
    request = drafts.RunRequest()
    if isinstance(options, RunOptions):
        request = drafts.RunRequest(
            name=options.name,
            out=options.out,
            dry_run=options.dry_run,
            budget=options.budget,
            tune=options.tune,
        )
    return drafts.draft(kind, layers(given), settings=settings.load(), request=request)
