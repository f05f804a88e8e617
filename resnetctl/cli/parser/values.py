"""Convert the text of a flag into its value; errors name the flag."""

import re
from typing import Annotated, Any, Literal, get_args, get_origin

from resnetctl.config.options import Flag, complaint
from resnetctl.errors import UsageError
from resnetctl.hints import closest


def coerce(flag: Flag, value: Any) -> Any:
    """Return the value, validated by the type and the constraints of its field. Raises `UsageError`."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    known = choices(flag)
    if known and value not in known:
        raise UsageError(
            f"{label(flag)} cannot be '{value}'",
            hint=[*filter(None, [closest(str(value), known)]), "one of " + ", ".join(known)],
        )
    annotated: Any = Annotated
    kind: Any = flag.field.annotation
    if flag.field.metadata:
        kind = annotated[(kind, *flag.field.metadata)]
    adapter: TypeAdapter[Any] = TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        message = f"{label(flag)} {complaint(error.errors()[0])}, not '{value}'"
        raise UsageError(message, hint=_share(flag, str(value))) from None


def _share(flag: Flag, text: str) -> list[str]:
    """Return the flag with the fraction that a text such as `95%` means, if the flag takes a number."""
    percent = re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*%", text)
    if percent is None or float not in (flag.field.annotation, *get_args(flag.field.annotation)):
        return []
    return [f"{label(flag)} {float(percent[1]) / 100:g}"]


def choices(flag: Flag) -> list[str]:
    """Return the values of a Literal type; none for other types."""
    annotation = flag.field.annotation
    options = [annotation, *get_args(annotation)]
    literal = next((item for item in options if get_origin(item) is Literal), None)
    return [str(value) for value in get_args(literal)]


def label(flag: Flag) -> str:
    """Return the name that errors use: `--epochs`, or the metavar of an argument."""
    extra = flag.field.json_schema_extra
    positional = isinstance(extra, dict) and extra.get("argument")
    return str(flag.metavar) if positional else flag.flag
