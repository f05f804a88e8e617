"""The facts of one registered object for `plugins show`; the registry's table names a function for each kind."""

import inspect
from collections.abc import Mapping
from typing import Any

from resnetctl.config.layers import flatten
from resnetctl.models.published import published
from resnetctl.spec import Arch


def arch_details(arch: Arch) -> dict[str, Any]:
    """Return the fields of an arch and its counted parameters."""
    from resnetctl.models.resnet import count_params

    classes, size = arch.reference
    facts = {key: value for key, value in arch.to_json().items() if key != "name"}
    return (
        facts
        | _published(arch)
        | {"params_counted": count_params(arch), "counted_at": f"{classes} classes, {size} px, 3 channels"}
    )


def _published(arch: Arch) -> dict[str, Any]:
    """Return the published accuracy of an arch, with what a comparison needs; nothing without one."""
    reference = published(arch)
    if reference is None:
        return {}
    where = f"{reference.data} {reference.split}, {reference.size} px, not resized"
    note = f"; {reference.note}" if reference.note else ""
    return {
        "published": reference.accuracy,
        "published_on": where,
        "published_with": reference.recipe,
        "published_by": reference.source + note,
    }


def object_details(value: Any) -> dict[str, Any]:
    """Return signature, source file and first docstring line of a class or a function."""
    value = getattr(value, "func", value)  # the function inside a functools.partial
    signature = _without_metadata(inspect.signature(value))
    return {
        "signature": str(signature),
        "parameters": {name: str(item.replace(name="_")).lstrip("_*: ") for name, item in signature.parameters.items()},
        "source": _file(value),
        "summary": (inspect.getdoc(value) or "").partition("\n")[0],
    }


def command_details(command: Any) -> dict[str, Any]:
    """Return summary, subcommands and source of a Typer app, or the facts of a function."""
    import typer
    from typer.main import get_command

    if not isinstance(command, typer.Typer):
        return object_details(command)
    built: Any = get_command(command)
    source = next((_file(item.callback) for item in command.registered_commands if item.callback), None)
    return {
        "summary": (built.help or "").partition("\n")[0],
        "commands": sorted(getattr(built, "commands", {})),
        "source": source,
    }


def exporter_details(exporter: Any) -> dict[str, Any]:
    """Return the facts of the class of an exporter or a tracker, with its summary."""
    return object_details(type(exporter)) | {"summary": exporter.summary}


def task_details(task: Any) -> dict[str, Any]:
    """Return the facts of a task: what it learns from, what it answers, and what it is judged by."""
    outputs = {item.name: " x ".join(item.shape) for item in task.outputs}
    own = {"summary": task.summary, "truth": task.truth, "outputs": outputs, "primary": task.primary}
    return {"source": _file(type(task))} | own


def head_details(head: Any) -> dict[str, Any]:
    """Return the facts of a head's `build`, with its task and its summary."""
    facts = object_details(head.build)
    own = {"task": head.task, "summary": head.summary, "fits_anchors": hasattr(head, "fit_anchors")}
    return facts | own


def policy_details(policy: Any) -> dict[str, Any]:
    """Return the facts of a policy's builder, with summary, paper and whether it mirrors."""
    return object_details(policy.build) | {
        "summary": policy.summary,
        "paper": policy.paper,
        "mirrors": policy.mirrors,
        "moves": ["labels", *policy.moves],
    }


def recipe_details(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config keys of a recipe with their values."""
    return flatten(recipe)


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


def _without_metadata(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature with `T` for every `Annotated[T, ...]`: the metadata has no stable text."""
    parameters = [
        item.replace(annotation=item.annotation.__origin__) if hasattr(item.annotation, "__metadata__") else item
        for item in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters)


def _file(value: Any) -> str | None:
    try:
        return inspect.getsourcefile(value)
    except (OSError, TypeError):
        return None  # a built-in function, or a class created at run time
