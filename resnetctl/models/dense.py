"""Networks with a head: a trunk of any arch, and a head of the registry on its features."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from resnetctl import registry
from resnetctl.config.arguments import keywords
from resnetctl.errors import ConfigError, ResnetctlError
from resnetctl.hints import Call, Setting
from resnetctl.models.backbone import Backbone
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, Head, HeadCard, ImageSpec, Net, Scalar, VectorSpec

ARGS = "model.head_args"
SHARED: Mapping[str, Any] = {"classes": 0, "image": None, "vector": None}  # what every `build` gets, if it names it


def build_net(
    arch: Arch, head: HeadCard, *, classes: int, image: ImageSpec, dropout: float = 0.0, drop_path: float = 0.0
) -> nn.Module:
    """Return a freshly initialised network of `arch` with `head`. Raises as `models.resnet.build` and `with_head`."""
    trunk = build(arch, classes=classes, image=image, dropout=dropout, drop_path=drop_path)
    return with_head(trunk, head, classes=classes, image=image)


def with_head(trunk: ResNet | Backbone, head: HeadCard, *, classes: int, image: ImageSpec) -> nn.Module:
    """Return a network of `trunk`, whose modules it takes over, with a fresh `head`.

    Raises:
        ConfigError: the head refuses its arguments, or the backbone.
        PluginError: the head cannot be loaded, its own code fails, or what it builds is no `resnetctl.spec.Net`.
    """
    entry = registry.get("head", head.name)
    with registry.guarded("head", head.name):
        try:
            numbers = {} if head.vector is None else {"vector": head.vector}
            net: nn.Module = entry.build(Backbone(trunk), classes=classes, image=image, **numbers, **_tuples(head.args))
        except ConfigError as error:
            if isinstance(error.where, Setting) and error.where.name in head.args:
                error.where = _argument(head, error.where.name)
            raise
        except ResnetctlError:
            raise
        except (ValueError, TypeError) as error:
            named = [name for name in head.args if re.search(rf"\b{re.escape(name)}\b", str(error))]
            larger = [Setting("size", note="larger images"), Setting("model.arch", note="an arch with more stages")]
            raise ConfigError(
                f"head '{head.name}' cannot be built on '{trunk.arch.name}' at {image.size} px: {error}",
                where=_argument(head, named[-1]) if named else Setting("model.head"),  # the user's come last
                hint=[Call("plugins show", (head.name,))] if named else larger,
            ) from error
    if not (isinstance(net, nn.Module) and isinstance(net, Net)):
        problem = f"it builds a {type(net).__name__} that lacks loss, forward or decode"
        raise registry.fault("head", head.name, problem=problem)
    return net


def _argument(head: HeadCard, name: str) -> Setting:
    return Setting(f"{ARGS}.{name}", head.args[name])


def head_card(
    name: str,
    args: Mapping[str, Scalar],
    *,
    fitted: Mapping[str, Any] | None = None,
    vector: VectorSpec | None = None,
) -> HeadCard:
    """Return the card of a head with the user's arguments, those that were `fitted`, in JSON types, and its numbers.

    Raises `ConfigError` when the head does not have an argument.
    """
    entry = registry.get("head", name)
    title = f"head '{name}'"
    given = keywords(entry.build, shared=SHARED, args=args, key=ARGS, title=title)
    own = {key: value for key, value in given.items() if key in args}
    whole = json.loads(json.dumps({**(fitted or {}), **own}))
    return HeadCard(name=name, task=entry.task, args=whole, vector=vector if reads_vector(entry) else None)


def reads_vector(head: Head) -> bool:
    """Return whether a head reads the numbers that come with each image."""
    return bool(getattr(head, "reads_vector", False))


def parts(net: nn.Module) -> dict[str, list[nn.Module]]:
    """Return the modules of `stem`, `layer1` .., `head`, of a classifier or of a network with a head.

    The head of the latter is every module that has parameters of its own outside the backbone.
    """
    if isinstance(net, ResNet):
        return net.parts()
    trunk = backbone_of(net)
    stages = {name: [trunk.get_submodule(name)] for name in trunk.stages}
    for name in trunk.stages:
        stages[name] += [trunk.norms[name]] if name in trunk.norms else []
    stages[trunk.stages[-1]].append(trunk.norm)
    stem = [trunk.conv1, trunk.bn1, *([trunk.norms["stem"]] if "stem" in trunk.norms else [])]
    inside = set(trunk.modules())
    has_own = [
        module
        for module in net.modules()
        if module not in inside and any(True for _ in module.parameters(recurse=False))
    ]
    return {"stem": stem, **stages, "head": has_own}


def backbone_of(net: nn.Module) -> Backbone:
    """Return the backbone inside a network. Raises `ConfigError` when it has none."""
    for module in net.modules():
        if isinstance(module, Backbone):
            return module
    raise ConfigError(f"{type(net).__name__} keeps no backbone, so its stages cannot be told apart")


def _tuples(value: Any) -> Any:
    """Return the value with tuples for lists, at every depth: JSON has no tuples."""
    if isinstance(value, Mapping):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list | tuple) else value
