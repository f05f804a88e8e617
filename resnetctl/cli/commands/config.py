"""`config show`."""

from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.drafts import draft
from resnetctl.cli.parser.option_models import ConfigShowOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.errors import UsageError
from resnetctl.hints import Call

KINDS = {"train": TrainConfig, "finetune": FinetuneConfig}


def show(parsed: Parsed[ConfigShowOptions]) -> None:
    """Run `config show`."""
    from resnetctl.config.layers import short_key
    from resnetctl.system import settings
    from resnetctl.tasks import config as configs

    verb = parsed.options.verb
    if verb in KINDS:
        report = configs.report(configs.show(draft(parsed, KINDS[verb]), settings.load()))
    else:
        options = parsed.options
        if parsed.values or options.sets or options.recipe or options.config_file:
            raise UsageError(
                "a run has its config, which options do not change", where=verb, hint=Call("config show", (verb,))
            )
        report = configs.of_run(verb, settings.load())
    if parsed.options.as_json:
        streams.report(report)
    else:
        rows = [(short_key(item.key), _toml(item.value), item.origin) for item in report.config]
        tables.table(["key", "value", "from"], rows)


def _toml(value: object) -> str:
    """Return a value as TOML."""
    import json

    return json.dumps(value, ensure_ascii=False)


COMMAND = Group(
    name="config",
    summary="The config of a run. Precedence: flag > --set > --config > ./resnetctl.toml > recipe > default.",
    members={
        "show": Command(
            name="show",
            summary="Show each value and where it came from.",
            run=show,
            options=ConfigShowOptions,
            config=FinetuneConfig,
            examples=(
                ("resnetctl config show --arch resnet56", "what train would use"),
                ("resnetctl config show --recipe paper", "with a recipe"),
                ("resnetctl config show finetune --data ./photos", "what finetune would use"),
                ("resnetctl config show runs/last", "what a run used"),
            ),
        )
    },
)
