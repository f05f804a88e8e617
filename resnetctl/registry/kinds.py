"""The kinds of entries that a plugin can register, one row each. Code that treats kinds differently reads this table.

A row names functions of higher rooms as `module:object`, like an entry point. They are imported when they are used, so
the table itself imports no torch.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from resnetctl.hints import Call
from resnetctl.spec import Arch, Policy

NAME = "NAME"  # in `Scaffold.use`: the name of the new entry


@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """How `plugins new` starts an entry of a kind.

    Attributes:
        template: file of the entry's module, in `resnetctl/templates`, or an absolute path.
        summary: docstring of the new package.
        use: a call that uses the entry; in its verb and its settings `NAME` stands for the entry's name.
        suffix: end of the object's name, if it is a class; "" if the object has the entry's name.
    """

    template: str
    summary: str
    use: Call
    suffix: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind.

    Attributes:
        name, plural: the kind's name for users; `plural` also names its group and the module of a scaffold.
        check: returns the problem with the shape of an imported object, "" if there is none.
        rules: tables of conformance rules, each as `module:object`; () if only the import is judged.
        prepare: `module:object`, a context manager that turns the object (and `source`) into the argument of the rules;
            "" if the rules take the object itself.
        scaffold: None if `plugins new` has no template.
        details: `module:object`, a function that returns the object's facts for `plugins show`; "" if there is none.
        has_name: whether its objects have a `name` (or a card with one), which must equal the entry's name.
        torch_free: whether its modules must not import torch.
        reserved: `module:object`, a function that returns the names that no plugin may take; "" if all are free.
        seconds: rough time of all rules for one entry; the slowest entries are judged first.
        listing: the call that lists the names; None: `plugins list`.
    """

    name: str
    plural: str
    check: Callable[[Any], str]
    rules: tuple[str, ...] = ()
    prepare: str = ""
    scaffold: Scaffold | None = None
    details: str = "resnetctl.tasks.plugins.details:object_details"
    has_name: bool = True
    torch_free: bool = False
    reserved: str = ""
    seconds: float = 0.0
    listing: Call | None = None

    @property
    def group(self) -> str:
        """The group of its entry points."""
        return f"resnetctl.{self.plural}"

    def list_names(self) -> Call:
        """Return the call that lists the names."""
        return self.listing or Call("plugins list", settings={"kind": self.name})


def resolve(reference: str) -> Any:
    """Import the object behind `module:object` or `module:object.attribute`."""
    module, _, path = reference.partition(":")
    value: Any = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _check_arch(value: Any) -> str:
    return "" if isinstance(value, Arch) else f"must be a resnetctl.spec.Arch, not {type(value).__name__}"


def _check_block(value: Any) -> str:
    if not isinstance(value, type):
        return f"must be a class, not {type(value).__name__}"
    return "" if isinstance(getattr(value, "expansion", None), int) else "needs a class attribute 'expansion: int'"


def _check_policy(value: Any) -> str:
    return "" if isinstance(value, Policy) else f"must be a resnetctl.spec.Policy, not {type(value).__name__}"


def _check_function(value: Any) -> str:
    return "" if callable(value) and not isinstance(value, type) else f"must be a function, not {_kind_of(value)}"


def _kind_of(value: Any) -> str:
    return "a class" if isinstance(value, type) else type(value).__name__


def _check_members(*names: str) -> Callable[[Any], str]:
    """Return the check of an object that must have these members."""

    def check(value: Any) -> str:
        missing = [name for name in names if not hasattr(value, name)]
        return f"lacks {', '.join(missing)}" if missing else ""

    return check


def _check_recipe(value: Any) -> str:
    return "" if isinstance(value, Mapping) else f"must be a table of config keys, not {type(value).__name__}"


def _check_command(value: Any) -> str:
    return "" if callable(value) else f"must be a typer.Typer or a function, not {type(value).__name__}"


def _training(settings: Mapping[str, Any]) -> Call:
    """Return the call that trains with an entry for an epoch."""
    return Call("train", settings={**settings, "data": "digits", "epochs": 1})


_ROWS = (
    Row(
        name="arch",
        plural="archs",
        check=_check_arch,
        rules=("resnetctl.testing.archs:RULES",),
        scaffold=Scaffold(
            template="arch.py.txt",
            summary="A network for resnetctl.",
            use=_training({"arch": NAME}),
        ),
        details="resnetctl.tasks.plugins.details:arch_details",
        torch_free=True,
        seconds=2,
    ),
    Row(
        name="block",
        plural="blocks",
        check=_check_block,
        rules=(
            "resnetctl.testing.blocks:RULES",
            "resnetctl.testing.nets.pruning:RULES",
            "resnetctl.testing.nets.networks:RULES",
        ),
        scaffold=Scaffold(
            template="block.py.txt",
            summary="A residual block for resnetctl.",
            use=_training({"arch": "resnet20", "block": NAME}),
            suffix="Block",
        ),
        has_name=False,
        seconds=5,
    ),
    Row(
        name="init",
        plural="inits",
        check=_check_function,
        rules=("resnetctl.testing.nets.inits:RULES",),
        scaffold=Scaffold(
            template="init.py.txt",
            summary="First weights for networks of resnetctl.",
            use=_training({"arch": "resnet20", "init": NAME}),
        ),
        has_name=False,
        seconds=1,
    ),
    Row(
        name="policy",
        plural="policies",
        check=_check_policy,
        rules=("resnetctl.testing.policies:RULES",),
        scaffold=Scaffold(
            template="policy.py.txt",
            summary="An augmentation policy for resnetctl.",
            use=_training({"augment": NAME}),
        ),
        details="resnetctl.tasks.plugins.details:policy_details",
        seconds=1,
    ),
    Row(
        name="optimizer",
        plural="optimizers",
        check=_check_function,
        rules=("resnetctl.testing.optimizers:RULES",),
        scaffold=Scaffold(
            template="optimizer.py.txt",
            summary="An optimizer for resnetctl.",
            use=_training({"optim.name": NAME, "lr": 0.001}),
        ),
        has_name=False,
    ),
    Row(
        name="schedule",
        plural="schedules",
        check=_check_function,
        rules=("resnetctl.testing.schedules:RULES",),
        scaffold=Scaffold(
            template="schedule.py.txt",
            summary="A learning-rate schedule for resnetctl.",
            use=_training({"schedule.name": NAME}),
        ),
        has_name=False,
    ),
    Row(
        name="objective",
        plural="objectives",
        check=_check_function,
        rules=("resnetctl.testing.objectives:RULES",),
        scaffold=Scaffold(
            template="objective.py.txt",
            summary="An objective for resnetctl.",
            use=_training({"objective.name": NAME}),
        ),
        has_name=False,
    ),
    Row(
        name="dataset",
        plural="datasets",
        check=_check_members("card", "fetch", "read"),
        rules=("resnetctl.testing.datasets:RULES",),
        prepare="resnetctl.testing.datasets:prepared",
        scaffold=Scaffold(
            template="dataset.py.txt",
            summary="A dataset for resnetctl.",
            use=Call("train", settings={"data": NAME, "arch": "resnet20"}),
        ),
        details="resnetctl.tasks.plugins.details:dataset_details",
        listing=Call("data list"),
    ),
    Row(
        name="exporter",
        plural="exporters",
        check=_check_members("name", "summary", "write", "open"),
        rules=("resnetctl.testing.exporters:RULES",),
        prepare="resnetctl.testing.exporters:prepared",
        scaffold=Scaffold(
            template="exporter.py.txt",
            summary="An exporter for resnetctl.",
            use=Call("export", ("last",), {"to": NAME}),
        ),
        details="resnetctl.tasks.plugins.details:exporter_details",
        seconds=8,
    ),
    Row(
        name="task",
        plural="tasks",
        check=_check_members("name", "summary", "truth", "outputs", "primary", "meter", "agree"),
        rules=("resnetctl.testing.tasks:RULES",),
        details="resnetctl.tasks.plugins.details:task_details",
        seconds=1,
    ),
    Row(
        name="head",
        plural="heads",
        check=_check_members("name", "task", "summary", "build"),
        rules=("resnetctl.testing.heads:RULES",),
        scaffold=Scaffold(
            template="head.py.txt",
            summary="A head for resnetctl.",
            use=Call("train", settings={"head": NAME, "arch": "resnet18", "data": "MASKS"}),
        ),
        seconds=3,
        details="resnetctl.tasks.plugins.details:head_details",
    ),
    Row(
        name="tracker",
        plural="trackers",
        check=_check_members("name", "summary", "start"),
        rules=("resnetctl.testing.trackers:RULES",),
        scaffold=Scaffold(
            template="tracker.py.txt",
            summary="A tracker for resnetctl.",
            use=_training({"track": NAME}),
        ),
        details="resnetctl.tasks.plugins.details:exporter_details",
    ),
    Row(
        name="recipe",
        plural="recipes",
        check=_check_recipe,
        rules=("resnetctl.testing.recipes:RULES",),
        reserved="resnetctl.config.layers:packaged_recipes",
        scaffold=Scaffold(
            template="recipe.py.txt",
            summary="A recipe for resnetctl.",
            use=_training({"arch": "resnet20", "recipe": NAME}),
        ),
        details="resnetctl.tasks.plugins.details:recipe_details",
        has_name=False,
        torch_free=True,
    ),
    Row(
        name="command",
        plural="commands",
        check=_check_command,
        reserved="resnetctl.cli.verbs:names",
        scaffold=Scaffold(template="command.py.txt", summary="A command for resnetctl.", use=Call(NAME)),
        details="resnetctl.tasks.plugins.details:command_details",
        has_name=False,
    ),
)
KINDS = {row.name: row for row in _ROWS}
if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(KINDS)]  # the command line and pydantic accept only these
