"""`config show`."""

from resnetctl.cli.parser.command import Command, Given, Group
from resnetctl.cli.parser.layers import draft
from resnetctl.cli.parser.options import ConfigShowOptions
from resnetctl.cli.screen import streams, tables
from resnetctl.config.schema import FinetuneConfig, TrainConfig


def show(given: Given[ConfigShowOptions]) -> None:
    """`config show`"""
    from resnetctl.config.layers import flatten
    from resnetctl.system import settings
    from resnetctl.tasks import config as configs

    kind = FinetuneConfig if given.options.verb == "finetune" else TrainConfig
    resolved = configs.show(draft(given, kind), settings.load())
    values = flatten(resolved.config.model_dump(mode="json"))
    rows = [(key, value, resolved.origins.get(key, "default")) for key, value in values.items()]
    if given.options.as_json:
        entries = [{"key": key, "value": value, "origin": origin} for key, value, origin in rows]
        streams.document("config.show", {"config": entries})
    else:
        tables.table(["key", "value", "from"], [(key, _toml(value), origin) for key, value, origin in rows])


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
            ),
        )
    },
)
