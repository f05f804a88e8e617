"""A broken plugin is refused before a run begins; the error names its distribution and the line."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.datasets import tiny
from support.distributions import install
from support.jobs import to_train
from typer.testing import CliRunner

from resnetctl import registry, runs
from resnetctl.cli.app import app
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError, PluginError, UsageError, WorkFailed
from resnetctl.hints import Call, Setting
from resnetctl.system import settings
from resnetctl.tasks.train import train
from resnetctl.training.plugin_trial import OUT_OF_PLACE, explained
from resnetctl.weights.file import load, read_header

BLOCK = """
import torch
from torch import nn
from resnetctl.blocks import BasicBlock


class Odd(BasicBlock):
"""
POLICY = """
import torch
from dataclasses import replace
from resnetctl.spec import Policy


def build(image, num_classes):
    def apply(batch):
        images = batch.images[:, :, : image.size, : image.size]
        {body}
    return apply


odd = Policy(name="odd", build=build, summary="odd")
"""
Failing = Callable[[str], PluginError]


@pytest.fixture(autouse=True)
def data_and_registry() -> Iterator[None]:
    tiny(settings.load().data_dir)
    yield
    registry.refresh()
    sys.modules.pop("odd_plugin", None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))
    return folder


def trained(*sets: str) -> list[object]:
    layers = [from_sets(["data=tiny", "model.arch=resnet20", "steps=1", *sets])]
    return list(train(to_train(*layers, name="one"), settings.load()))


def add_plugin(site: Path, kind: str, code: str) -> None:
    install(site, "odd", {kind: {"odd": f"odd_plugin:{'Odd' if kind == 'block' else 'odd'}"}}, code=code)  # type: ignore[dict-item]
    importlib.invalidate_caches()
    registry.refresh()


def refused(*sets: str) -> PluginError:
    with pytest.raises(PluginError) as caught:
        trained(*sets)
    assert not (settings.load().runs_dir / "one").exists()
    assert caught.value.exit_code == 4
    return caught.value


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            "    def forward(self, x):\n        return super().forward(x).nope",
            "AttributeError: 'Tensor' object has no attribute",
        ),
        ("    def forward(self, x):\n        return super().forward(x)[:, :1]", "RuntimeError: "),
        ("    def forward(self, x):\n        return super().forward(x) / 0", "its output is not finite"),
        (
            "    def forward(self, x):\n        y = super().forward(x)\n        x += 1\n        return y",
            "it changes a tensor in place that the backward pass needs",
        ),
        (
            "    def forward(self, x):\n        assert len(x) <= 4\n        return super().forward(x)",
            "AssertionError: no message",
        ),
        ("    def forward(self, x):\n        raise SystemExit(0)", "SystemExit: 0"),
        (
            "    def __init__(self, *args, **more):\n        super().__init__(*args, **more)\n"
            "        self.extra = [nn.Conv2d(args[1], args[1], 1)]\n\n"
            "    def forward(self, x):\n        return self.extra[0](super().forward(x))",
            "'extra' has modules that the network does not know: use nn.ModuleList",
        ),
        (
            "    def __init__(self, *args, **more):\n        super().__init__(*args, **more)\n"
            "        self.gamma = torch.ones(args[1], 1, 1, requires_grad=True)\n\n"
            "    def forward(self, x):\n        return super().forward(x) * self.gamma",
            "'gamma' is a tensor with a gradient, and no parameter: use nn.Parameter",
        ),
        (
            "    def __init__(self, *args, **more):\n        super().__init__(*args, **more)\n"
            "        self.alpha = float(torch.rand(1))\n\n"
            "    def forward(self, x):\n        return super().forward(x) * self.alpha",
            "two networks with the same weights differ",
        ),
    ],
    ids=["raises", "shape", "infinite", "in-place", "batch", "exits", "loose", "learning", "unregistered"],
)
def test_a_broken_block_is_refused_before_the_run(site: Path, body: str, problem: str) -> None:
    add_plugin(site, "block", BLOCK + body + "\n")
    error = refused("model.block=odd")
    assert error.message.startswith(f"block 'odd' of odd 1.2: {problem}")
    is_inplace = "in place" in problem
    assert error.hint == (*[OUT_OF_PLACE] * is_inplace, Call("plugins check", ("odd:odd",)))
    known = {"Attribute": "odd_plugin.py:9", "Exit": "odd_plugin.py:9", "in place": "odd_plugin.py:10"}
    assert error.where == next((line for word, line in known.items() if word in problem), error.where)


OPTIONS = """
    def __init__(self, *args, wrong="", **more):
        super().__init__(*args, **more)
        self.wrong = wrong

    def forward(self, x):
        y = self.downsample(x)
        if self.wrong == "inplace":
            y += 1
        if self.wrong == "name":
            no_such_name
        return super().forward(x) + y
"""


@pytest.mark.parametrize(
    ("wrong", "problem", "where", "more"),
    [
        ("inplace", "it changes a tensor in place", "odd_plugin.py:16", (OUT_OF_PLACE,)),
        ("name", "NameError: name 'no_such_name'", "odd_plugin.py:18", ()),
    ],
)
def test_a_mistake_behind_an_argument_has_its_line_and_no_check_that_passes(
    site: Path, wrong: str, problem: str, where: str, more: tuple[str, ...]
) -> None:
    """`plugins check` tries the default arguments only."""
    add_plugin(site, "block", BLOCK + OPTIONS)
    error = refused("model.block=odd", f"model.block_args.wrong={wrong}")
    assert error.message.startswith(f"block 'odd' of odd 1.2: {problem}")
    assert error.where == where
    assert error.hint == (*more, advice("block", f"wrong={wrong}"))


WITH_ARGUMENTS = {  # code, and the key of the argument `mode`, for each kind that has arguments
    "policy": (
        "augment",
        POLICY.replace("num_classes)", "num_classes, *, mode='')").replace(
            "{body}",
            "{fails}\n        if mode == 'wrong':\n            images = images[1:]\n"
            "        return replace(batch, images=images)",
        ),
    ),
    "optimizer": (
        "optim.args",
        "import torch\n\n\nclass Own(torch.optim.SGD):\n    def step(self, closure=None):\n"
        "        mode = self.mode\n        {fails}\n        return super().step(closure)\n\n\n"
        "def odd(groups, *, lr, mode=''):\n    own = Own(groups, lr=lr)\n    own.mode = mode\n"
        "    return 3 if mode == 'wrong' else own\n",
    ),
    "schedule": (
        "schedule.args",
        "def odd(point, *, mode=''):\n        {fails}\n        return 7.0 if mode == 'wrong' else 1.0\n",
    ),
    "objective": (
        "objective.args",
        "import torch\n\n\ndef odd(logits, targets, *, mode=''):\n        {fails}\n"
        "        losses = torch.nn.functional.cross_entropy(logits, targets, reduction='none')\n"
        "        return losses.sum() if mode == 'wrong' else losses\n",
    ),
    "block": (
        "model.block_args",
        BLOCK + "    def __init__(self, *args, mode='', **more):\n        super().__init__(*args, **more)\n"
        "        self.mode = mode\n\n    def forward(self, x):\n        mode = self.mode\n        {fails}\n"
        "        return super().forward(x)[1:] if mode == 'wrong' else super().forward(x)\n",
    ),
}
NAMES = {"policy": "augment", "optimizer": "optim.name", "schedule": "schedule.name", "objective": "objective.name"}
CALLS = "import odd_plugin\n        odd_plugin.calls = getattr(odd_plugin, 'calls', 0) + 1\n        if odd_plugin.calls"


def advice(kind: str, arguments: str) -> str:
    return f"correct the {kind} for {arguments}, or give other values: `plugins check` tries the defaults"


@pytest.mark.parametrize("kind", WITH_ARGUMENTS)
@pytest.mark.parametrize("mode", ["raise", "wrong"])
def test_a_failure_with_arguments_names_them_and_no_check_that_passes(site: Path, kind: str, mode: str) -> None:
    key, code = WITH_ARGUMENTS[kind]
    fails = "if mode == 'raise':\n            raise KeyError('no')"
    add_plugin(site, kind, code.replace("{fails}", fails))
    error = refused(f"{NAMES.get(kind, 'model.block')}=odd", f"{key}.mode={mode}")
    assert error.message.startswith(f"{kind} 'odd' of odd 1.2: ")
    assert error.message.endswith(f" (with mode={mode})")
    assert error.hint == (advice(kind, f"mode={mode}"),)
    assert error.keys == (f"{'augment_args' if kind == 'policy' else key}.mode",)


@pytest.mark.parametrize("kind", WITH_ARGUMENTS)
def test_a_failure_with_the_defaults_is_for_plugins_check(site: Path, kind: str) -> None:
    key, code = WITH_ARGUMENTS[kind]
    add_plugin(site, kind, code.replace("{fails}", "raise KeyError('no')"))
    for sets in ([], [f"{key}.mode="]):
        error = refused(f"{NAMES.get(kind, 'model.block')}=odd", *sets)
        assert error.message == f"{kind} 'odd' of odd 1.2: KeyError: 'no'"
        assert error.hint == (Call("plugins check", ("odd:odd",)),)


@pytest.mark.parametrize("kind", WITH_ARGUMENTS)
def test_a_failure_with_arguments_during_the_run_names_them(site: Path, kind: str) -> None:
    key, code = WITH_ARGUMENTS[kind]
    add_plugin(site, kind, code.replace("{fails}", f"{CALLS} > 90:\n            raise KeyError('late')"))
    sets = [f"{NAMES.get(kind, 'model.block')}=odd", f"{key}.mode=on"]
    with pytest.raises(PluginError) as caught:
        trained(*sets, "steps=120", "batch_size=16")
    assert (settings.load().runs_dir / "one").exists()
    assert caught.value.message == f"{kind} 'odd' of odd 1.2: KeyError: 'late' (with mode=on)"
    assert caught.value.hint == (advice(kind, "mode=on"),)


MIX = """
    def __init__(self, *args, mix=0.5, **more):
        super().__init__(*args, **more)
        {store}

    def forward(self, x):
        return super().forward(x) * torch.sigmoid(self.mix)
"""


@pytest.mark.parametrize(
    "store",
    [
        "self.mix = nn.Parameter(torch.logit(torch.tensor(mix)))",
        "self.register_buffer('mix', torch.logit(torch.tensor(mix)))",
    ],
    ids=["parameter", "buffer"],
)
def test_a_weight_that_is_infinite_at_birth_is_refused_although_the_output_is_finite(site: Path, store: str) -> None:
    """The run would train, and blame the images of its first step."""
    add_plugin(site, "block", BLOCK + MIX.replace("{store}", store))
    error = refused("model.block=odd", "model.block_args.mix=1")
    assert error.message == (
        "block 'odd' of odd 1.2: 'layer1.0.mix' is not finite, nor are 5 others, before the first step (with mix=1.0)"
    )
    assert error.keys == ("model.block_args.mix",)
    trained("model.block=odd", "model.block_args.mix=0.4")


def test_a_mistake_in_the_constructor_of_a_block_has_its_line(site: Path) -> None:
    add_plugin(site, "block", BLOCK + "    def __init__(self, *args, **more):\n        self.x = no_such_name\n")
    error = refused("model.block=odd")
    assert error.message == "block 'odd' cannot be built: NameError: name 'no_such_name' is not defined"
    assert error.where == "odd_plugin.py:9"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        ("return None", "it gives a NoneType"),
        ("return replace(batch, images=images / 255)", "images are in 0"),
        ("return replace(batch, images=images.double())", "images are torch.float64"),
        ("return replace(batch, images=images[:, :, 1:])", "(4, 1, 7, 8) images, not (4, 1, 8, 8)"),
        ("return replace(batch, images=images[:2])", "(2, 1, 8, 8) images, not"),
        (
            "batch.images.zero_()\n        return replace(batch, images=images + 20)",
            "it changed its input images",
        ),
        (
            "return replace(batch, images=images, targets=batch.targets + num_classes)",
            "a class is out of range",
        ),
        (
            "return replace(batch, images=images, targets=torch.ones(len(images), num_classes))",
            "shares sum to 3",
        ),
        (
            "return replace(batch, images=images, targets=batch.targets.float())",
            "targets are torch.float32 (4,)",
        ),
    ],
)
def test_a_broken_policy_is_refused_before_the_run(site: Path, body: str, problem: str) -> None:
    add_plugin(site, "policy", POLICY.replace("{body}", body))
    error = refused("augment=odd")
    assert error.message.startswith(f"policy 'odd' of odd 1.2: {problem}")
    assert error.hint == (Call("plugins check", ("odd:odd",)),)


def test_a_policy_that_cannot_be_built_is_refused(site: Path) -> None:
    add_plugin(
        site, "policy", POLICY.replace("{body}", "return batch").replace("num_classes)", "num_classes, strength)")
    )
    assert "build() missing 1 required positional argument: 'strength'" in refused("augment=odd").message


def test_an_error_of_a_policy_during_the_run_names_the_policy(site: Path) -> None:
    late = "if batch.step >= 3:\n            raise KeyError('late')"
    body = f"{late}\n        return replace(batch, images=images)"
    add_plugin(site, "policy", POLICY.replace("{body}", body))
    with pytest.raises(PluginError, match=r"policy 'odd' of odd 1.2: KeyError: 'late'") as caught:
        trained("augment=odd", "steps=4", "batch_size=16")
    assert caught.value.where == "odd_plugin.py:11"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("if batch.step >= 3:\n            return None", "it gives a NoneType"),
        ("if batch.step >= 3:\n            raise SystemExit(0)", "SystemExit: 0"),
        ("if batch.step >= 3:\n            raise GeneratorExit", "GeneratorExit: no message"),
        ("if batch.step >= 3:\n            images = images[1:]", r"\(5, 1, 8, 8\) images, not \(6, 1, 8, 8\)"),
        (
            "if batch.step >= 3:\n            return replace(batch, images=images, targets=batch.targets + 9)",
            "IndexError: Target",
        ),
    ],
)
def test_a_policy_that_fails_later_ends_the_run_with_its_name(site: Path, body: str, problem: str) -> None:
    add_plugin(site, "policy", POLICY.replace("{body}", body + "\n        return replace(batch, images=images)"))
    with pytest.raises(PluginError, match=f"policy 'odd' of odd 1.2: {problem}"):
        trained("augment=odd", "steps=4", "batch_size=16")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("x = None", "TypeError: "),
        ("x = x[:1]", "ValueError: Expected input batch_size"),
    ],
)
def test_a_block_that_fails_after_its_trial_ends_the_run_with_its_name(site: Path, line: str, problem: str) -> None:
    """It counts its calls: the trial makes fewer than a hundred."""
    body = (
        "    calls = 0\n\n    def forward(self, x):\n        type(self).calls += 1\n"
        f"        if self.calls > 100:\n            {line}\n        return super().forward(x)\n"
    )
    add_plugin(site, "block", BLOCK + body)
    with pytest.raises(PluginError, match=f"block 'odd' of odd 1.2: {problem}"):
        trained("model.block=odd", "steps=30", "batch_size=16")


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "MemoryError"])
def test_interrupts_and_a_lack_of_memory_are_not_blamed_on_the_block(site: Path, error: str) -> None:
    body = (
        "    calls = 0\n\n    def forward(self, x):\n        type(self).calls += 1\n"
        f"        if self.calls > 100:\n            raise {error}\n        return super().forward(x)\n"
    )
    add_plugin(site, "block", BLOCK + body)
    with pytest.raises((KeyboardInterrupt, WorkFailed)) as caught:
        trained("model.block=odd", "steps=30", "batch_size=16")
    assert isinstance(caught.value, KeyboardInterrupt) == (error == "KeyboardInterrupt")


def test_torchs_own_lack_of_memory_is_told_with_its_size_and_advice() -> None:
    text = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 40000000000 bytes. Error"
    arch = registry.get("arch", "resnet20")
    with pytest.raises(WorkFailed) as caught, explained(arch, TrainConfig(batch_size=128)):
        raise RuntimeError(text)
    assert caught.value.message == "there is not enough memory for steps of 128 images: torch asked for 40.0 GB more"
    assert caught.value.hint[0] == Setting("batch_size", 64, note="needs about half of the memory")
    assert caught.value.hint[1].name == "accumulate"  # type: ignore[union-attr]


def test_the_seed_alone_decides_the_first_weights_despite_a_module_that_seeds(site: Path) -> None:
    add_plugin(site, "block", "import torch\ntorch.manual_seed(7)\n" + BLOCK + "    pass\n")
    first_weights = []
    for name, seed in (("one", 3), ("two", 4), ("three", 3)):
        registry.refresh()  # each as in a process of its own
        sys.modules.pop("odd_plugin", None)
        layers = [from_sets(["data=tiny", "model.block=odd", "steps=1", "lr=1e-30", f"seed={seed}"])]
        list(train(to_train(*layers, name=name), settings.load()))
        weights = runs.find(name, settings.load().runs_dir).weights
        first_weights.append(load(read_header(weights)).state["layer1.0.conv1.weight"])
    assert torch.equal(first_weights[0], first_weights[2])
    assert not torch.allclose(first_weights[0], first_weights[1])


OPTIMIZER = """
import torch


class Odd(torch.optim.SGD):
    def step(self, closure=None):
        {body}


def odd(groups, *, lr):
    return Odd(groups, lr=lr)
"""


@pytest.mark.parametrize(
    ("kind", "key", "code", "problem"),
    [
        ("optimizer", "optim", OPTIMIZER.format(body="raise KeyError('no state')"), "KeyError: 'no state'"),
        ("optimizer", "optim", OPTIMIZER.format(body="raise SystemExit(0)"), "SystemExit: 0"),
        ("optimizer", "optim", "def odd(groups, *, lr):\n    return 7\n", "it returned int, not a torch.optim"),
        (
            "schedule",
            "schedule",
            "def odd(point):\n    return 2.5\n",
            r"it returned 2\.5 for .*, not a factor in 0\.\.1",
        ),
        ("schedule", "schedule", "def odd(point):\n    return 1 / 0\n", "ZeroDivisionError: division by zero"),
        (
            "objective",
            "objective",
            "def odd(logits, targets):\n    return logits.sum()\n",
            r"it returned the shape \(\), not \(2,\)",
        ),
        ("objective", "objective", "def odd(logits, targets):\n    return 0.5\n", "it returned float, not a tensor"),
        ("objective", "objective", "def odd(logits, targets):\n    return logits.detach()[:, 0]\n", "no gradient"),
        ("objective", "objective", "def odd(logits, targets):\n    return {}[1]\n", "KeyError: 1"),
    ],
)
def test_a_failing_optimizer_schedule_or_objective_is_named(
    site: Path, kind: str, key: str, code: str, problem: str
) -> None:
    add_plugin(site, kind, code)
    error = refused(f"{key}.name=odd")
    assert re.search(problem, error.message)
    assert f"{kind} 'odd' of odd 1.2" in error.message


def test_an_optimizer_that_fails_later_is_named(site: Path) -> None:
    body = "self.count = getattr(self, 'count', 0) + 1\n        assert self.count < 2, 'twice'"
    add_plugin(site, "optimizer", OPTIMIZER.format(body=body))
    with pytest.raises(PluginError, match=r"optimizer 'odd' of odd 1\.2: AssertionError: twice"):
        trained("optim.name=odd", "steps=3")


HINGE = """
def odd(logits, targets, *, margin=1.0):
    if margin <= 0:
        raise ValueError(f"margin is {margin}, not above 0")
    own = logits.gather(1, targets[:, None])
    return (margin + logits - own).relu().sum(1)
"""


def test_an_objective_of_a_plugin_gets_its_argument_in_a_run(site: Path) -> None:
    add_plugin(site, "objective", HINGE)
    weights = []
    for number, margin in enumerate((1.0, 5.0, 1.0)):
        layers = [from_sets(["data=tiny", "steps=2", "objective.name=odd", f"objective.args.margin={margin}"])]
        list(train(to_train(*layers, name=f"run{number}"), settings.load()))
        run = runs.find(f"run{number}", settings.load().runs_dir)
        file = load(read_header(run.weights))
        assert dict(file.card.plugins.used) == {"odd": "1.2"}
        weights.append(file.state["conv1.weight"])
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("objective.args.margin=-1", "objective 'odd' refuses margin=-1.0: margin is -1.0, not above 0"),
        ("objective.args.margn=1", "objective 'odd' cannot use objective.args"),
        ("label_smoothing=0.1", "objective 'odd' takes no label smoothing"),
    ],
)
def test_a_wrong_argument_of_an_objective_is_the_users_mistake(site: Path, setting: str, problem: str) -> None:
    add_plugin(site, "objective", HINGE)
    with pytest.raises(ConfigError, match=re.escape(problem)):
        trained("objective.name=odd", setting)
    assert not (settings.load().runs_dir / "one").exists()


def test_an_objective_that_fails_later_is_named(site: Path) -> None:
    code = "def odd(logits, targets):\n    assert len(logits) == 2, 'two only'\n    return logits[:, 0]\n"
    add_plugin(site, "objective", code)
    with pytest.raises(PluginError, match=r"objective 'odd' of odd 1\.2: AssertionError: two only"):
        trained("objective.name=odd", "steps=3")


ARGUED = """
from dataclasses import replace
from resnetctl.spec import Policy


def build(image, num_classes, *, dark=0.5):
    if not 0 < dark <= 1:
        raise ValueError(f"dark is {dark}, not in 0..1")
    return lambda batch: replace(batch, images=batch.images[:, :, : image.size, : image.size].float() * dark)


odd = Policy(name="odd", build=build, summary="darker")
"""


def test_a_policy_of_a_plugin_gets_its_argument_in_a_run(site: Path) -> None:
    add_plugin(site, "policy", ARGUED)
    weights = []
    for number, dark in enumerate((0.5, 0.9, 0.5)):
        layers = [from_sets(["data=tiny", "steps=2", "augment=odd", f"augment.dark={dark}", "threads=1"])]
        list(train(to_train(*layers, name=f"run{number}"), settings.load()))
        run = runs.find(f"run{number}", settings.load().runs_dir)
        assert run.read_config().augment_args == {"dark": dark}
        weights.append(load(read_header(run.weights)).state["conv1.weight"])
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("augment.dark=2", "policy 'odd' refuses dark=2.0: dark is 2.0, not in 0..1"),
        ("augment.drak=1", "policy 'odd' cannot use augment.drak"),
        ("augment.dark=deep", "policy 'odd' cannot use augment.dark"),
    ],
)
def test_a_wrong_argument_of_a_policy_is_the_users_mistake(site: Path, setting: str, problem: str) -> None:
    add_plugin(site, "policy", ARGUED)
    with pytest.raises(ConfigError, match=re.escape(problem)):
        trained("augment=odd", setting)
    assert not (settings.load().runs_dir / "one").exists()


CHOOSY = {  # kind -> code that refuses `level` unless it is its default
    "block": BLOCK
    + """
    def __init__(self, *args, level=DEFAULT, mode="sum", **more):
        if level != 1:
            raise ValueError(f"level is {level}, not 1")
        super().__init__(*args, **more)
""",
    "optimizer": """
import torch


def odd(groups, *, lr, level=DEFAULT, mode="sum"):
    if level != 1:
        raise ValueError(f"level is {level}, not 1")
    return torch.optim.SGD(groups, lr=lr)
""",
    "schedule": """
def odd(point, *, level=DEFAULT, mode="sum"):
    if level != 1:
        raise ValueError(f"level is {level}, not 1")
    return 1.0
""",
    "objective": """
from torch.nn import functional as F


def odd(logits, targets, *, level=DEFAULT, mode="sum"):
    if level != 1:
        raise ValueError(f"level is {level}, not 1")
    return F.cross_entropy(logits, targets, reduction="none")
""",
    "policy": """
from dataclasses import replace
from resnetctl.spec import Policy


def build(image, num_classes, *, level=DEFAULT, mode="sum"):
    if level != 1:
        raise ValueError(f"level is {level}, not 1")
    return lambda batch: replace(batch, images=batch.images[:, :, : image.size, : image.size])


odd = Policy(name="odd", build=build, summary="choosy")
""",
}
CHOICES = {  # kind -> the key of the name, and of the arguments
    "block": ("model.block", "model.block_args"),
    "optimizer": ("optim.name", "optim.args"),
    "schedule": ("schedule.name", "schedule.args"),
    "objective": ("objective.name", "objective.args"),
    "policy": ("augment", "augment"),
}


@pytest.mark.parametrize("kind", CHOOSY)
def test_a_value_error_is_a_refusal_of_the_arguments_that_are_not_the_defaults(site: Path, kind: str) -> None:
    add_plugin(site, kind, CHOOSY[kind].replace("DEFAULT", "1.0"))
    key, table = CHOICES[kind]
    with pytest.raises(ConfigError) as caught:
        trained(f"{key}=odd", f"{table}.level=2", f"{table}.mode=sum")
    assert caught.value.message == f"{kind} 'odd' refuses level=2.0: level is 2.0, not 1"
    assert caught.value.keys == (f"{table}.level",)
    assert caught.value.where == Setting(f"{table}.level", 2.0)
    assert any("level=1.0" in str(hint) for hint in caught.value.hint)
    assert not (settings.load().runs_dir / "one").exists()


@pytest.mark.parametrize("kind", [kind for kind in CHOOSY if kind != "block"])  # a block may refuse the arch
def test_a_value_error_with_the_default_arguments_is_a_mistake_of_the_plugin(site: Path, kind: str) -> None:
    add_plugin(site, kind, CHOOSY[kind].replace("DEFAULT", "3.0"))
    key, table = CHOICES[kind]
    for sets in ([], [f"{table}.level=3"]):
        error = refused(f"{key}=odd", *sets)
        assert error.message == f"{kind} 'odd' of odd 1.2: ValueError: level is 3.0, not 1"
        assert re.match(r"odd_plugin\.py:\d+", str(error.where))


def test_a_refused_argument_of_a_file_names_its_line(site: Path, tmp_path: Path) -> None:
    add_plugin(site, "optimizer", CHOOSY["optimizer"].replace("DEFAULT", "1.0"))
    file = tmp_path / "own.toml"
    file.write_text('data = "tiny"\n[optim]\nname = "odd"\n[optim.args]\nlevel = 2\n')
    result = CliRunner().invoke(app, ["train", "--config", str(file)])
    assert result.exit_code == 2
    assert "optimizer 'odd' refuses level=2.0" in result.stderr
    assert "own.toml:5" in "".join(result.stderr.split())


def test_an_operation_without_an_exact_kernel_is_named() -> None:
    text = "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set .."
    arch = registry.get("arch", "resnet20")
    with pytest.raises(UsageError) as caught, explained(arch, TrainConfig()):
        raise RuntimeError(text)
    assert caught.value.message.startswith("adaptive_avg_pool2d_backward_cuda has no kernel on CUDA")
    assert caught.value.where == Setting("exact")
