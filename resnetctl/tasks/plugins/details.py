"""The facts of one registered object for `plugins show`; the registry's table names a function for each kind."""

import inspect
from typing import Any

from resnetctl.spec import Arch


def arch_details(arch: Arch) -> dict[str, Any]:
    """Return the fields of an arch and its counted parameters."""
    from resnetctl.models.resnet import count_params

    classes, size = arch.reference
    facts = {key: value for key, value in arch.to_json().items() if key != "name"}
    return facts | {"params_counted": count_params(arch), "counted_at": f"{classes} classes, {size} px, 3 channels"}


def object_details(value: Any) -> dict[str, Any]:
    """Return signature, source file and first docstring line of a class or a function."""
    value = getattr(value, "func", value)  # the function inside a functools.partial
    return {
        "signature": str(inspect.signature(value)),
        "parameters": {
            name: str(item.replace(name="_")).lstrip("_*: ")
            for name, item in inspect.signature(value).parameters.items()
        },
        "source": _file(value),
        "summary": (inspect.getdoc(value) or "").partition("\n")[0],
    }


def policy_details(policy: Any) -> dict[str, Any]:
    """Return the facts of a policy's builder, with summary, paper and whether it mirrors."""
    return object_details(policy.build) | {"summary": policy.summary, "paper": policy.paper, "mirrors": policy.mirrors}


def dataset_details(dataset: Any) -> dict[str, Any]:
    """Return the facts of a dataset's card, and its source file."""
    card = dataset.card
    return {
        "classes": list(card.classes),
        "splits": dict(card.splits),
        "licence": card.licence,
        "homepage": card.source,
        "source": _file(type(dataset)),
        "summary": (inspect.getdoc(type(dataset)) or "").partition("\n")[0],
    }


def _file(value: Any) -> str | None:
    try:
        return inspect.getsourcefile(value)
    except (OSError, TypeError):
        return None  # a built-in function, or a class created at run time
