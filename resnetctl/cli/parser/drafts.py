"""The layers of a config from a command line, and the draft that a verb begins with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.cli.parser.command import Parsed
from resnetctl.cli.parser.option_models import LayerOptions, RunOptions

if TYPE_CHECKING:
    from resnetctl.config.draft import Config, Draft
    from resnetctl.config.layers import Layer


def layers(parsed: Parsed[LayerOptions]) -> "list[Layer]":
    """Return the layers, weakest first: recipe, `./resnetctl.toml`, `--config`, `--set` and flags.

    Raises `UsageError` and `ConfigError`.
    """
    from resnetctl.cli.parser.flag_layers import from_flags, from_sets
    from resnetctl.config.layers import LOCAL_FILE, from_file, from_recipe, together

    options = parsed.options
    sources = []
    if options.recipe:
        sources.append(from_recipe(options.recipe))
    if Path(LOCAL_FILE).is_file():
        sources.append(from_file(Path(LOCAL_FILE)))
    if options.config_file is not None:
        sources.append(from_file(options.config_file))
    return [*sources, together(from_sets(options.sets), from_flags(parsed.values, parsed.names))]


def draft(parsed: "Parsed[Any]", kind: "type[Config]") -> "Draft[Config]":
    """Return the draft of a config of this kind. Only this function reads the recipe and the config files.

    Raises `UsageError` or `ConfigError` for every mistake that can be detected without data and without PyTorch, and
    `PluginError` for a name of a run's config whose plugin is not installed.
    """
    from resnetctl.config import draft as drafts
    from resnetctl.runs.requirements import naming_plugins
    from resnetctl.system import settings

    options, machine = parsed.options, settings.load()
    request, group = drafts.RunRequest(), None
    if isinstance(options, RunOptions):
        request = drafts.RunRequest(
            name=options.name,
            out=options.out,
            dry_run=options.dry_run,
            budget=options.budget,
            tune=options.tune,
            track=tuple(options.track),
        )
        group = (options.out or machine.runs_dir) / options.name if options.name else None
    with naming_plugins(options.config_file, group=group):
        return drafts.draft(kind, layers(parsed), settings=machine, request=request, file=options.config_file)
