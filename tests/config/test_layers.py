"""Layers follow the documented precedence, keep the origin of each value, and name it in errors."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl import registry
from resnetctl.cli.parser.flag_layers import from_flags, from_sets
from resnetctl.config import layers
from resnetctl.config.layers import (
    Layer,
    flatten,
    from_environment,
    from_file,
    from_recipe,
    layer,
    merge,
    nest,
    packaged_recipes,
    places,
    recipes,
    resolve,
    to_toml,
)
from resnetctl.config.options import POLICY_IN_FILE
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.errors import ConfigError, UsageError
from resnetctl.hints import Call, in_shell
from resnetctl.system import settings


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    def write(text: str, name: str = "a.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(*layers: Layer) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, layers)
    assert caught.value.exit_code == 2
    return caught.value.problems


@pytest.mark.parametrize("key", ["model.depth", "model.depths", "depth", "model.width", "widths", "model.blocks"])
def test_a_part_of_an_arch_names_the_lists_of_archs(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, [from_sets([f"{key}=5"])])
    assert caught.value.problems == (
        f"{key}: unknown key (--set); the arch sets the number and the width of its blocks",
    )
    assert [in_shell(hint) for hint in caught.value.hint] == [
        "resnetctl plugins list --kind arch",
        "resnetctl plugins show ARCH",
    ]


@pytest.mark.parametrize(
    ("sets", "meant"),
    [
        (["model.block=basic", "shortcut=A"], "model.block_args.shortcut"),
        (["augment=shift", "reach=0.1"], "augment.reach"),
        (["schedule.name=step", "gama=0.1"], "schedule.gamma"),
    ],
)
def test_a_bare_argument_of_a_plugin_that_the_config_names_is_meant(sets: list[str], meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, [from_sets(sets)])
    assert caught.value.problems[0].endswith(f"did you mean '{meant}'?")


def test_a_decimal_comma_suggests_a_point() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, [layer({"lr": "1,0", "optim.momentum": "0,95", "augment": "a,b"}, "flag")])
    assert [in_shell(hint) for hint in caught.value.hint] == ["--lr 1.0", "--set optim.momentum=0.95"]
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, [layer({"lr": "x"}, "flag")])
    assert not caught.value.hint


# ---- one layer


def test_a_file_gives_values_and_line_numbers(toml: Any) -> None:
    path = toml(
        '# note\nlr = 0.2\n\n[optim]\n# more\nname = "adamw"\n\n[model.block_args]\nshortcut = "B"\nmodel.x = 1\n'
    )
    parsed = from_file(path)
    assert parsed.values["optim.name"] == "adamw"
    assert parsed.origins["lr"] == f"{path}:2"
    assert parsed.origins["optim.name"] == f"{path}:6"
    assert parsed.origins["model.block_args.shortcut"] == f"{path}:9"


def test_the_origin_of_a_value_is_its_line_or_that_of_its_table_or_the_file(toml: Any) -> None:
    path = toml('\noptim = { name = "adam" }\n[schedule]\n"name" = "linear"\n')
    assert from_file(path).origins == {"optim.name": f"{path}:2", "schedule.name": f"{path}:4"}
    path = toml('"l\\u0072" = 0.1\n')
    assert from_file(path).origins == {"lr": str(path)}


@pytest.mark.parametrize("text", ["lr = ", "lr = 1\nlr = 2", "[optim\n"])
def test_a_file_that_is_not_toml_is_refused(toml: Any, text: str) -> None:
    path = toml(text)
    with pytest.raises(ConfigError, match="not TOML") as caught:
        from_file(path)
    assert caught.value.where == str(path)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        from_file(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        from_file(tmp_path)
    (tmp_path / "latin").write_bytes(b"data = '\xe9'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        from_file(tmp_path / "latin")


# ---- recipes


def test_recipes_are_packaged_and_valid() -> None:
    assert set(packaged_recipes()) >= {"strong", "paper", "fast", "sprint", "finetune"}
    for name in packaged_recipes():
        resolved = resolve(FinetuneConfig, [from_recipe(name)])
        assert set(resolved.origins.values()) == {f"recipe {name}", "default"}


def test_a_plugin_brings_a_recipe() -> None:
    with registry.overlay("recipe", quick={"epochs": 8, "optim": {"name": "adamw"}}):
        assert "quick" in recipes()
        found = from_recipe("quick")
    assert found.values == {"epochs": 8, "optim.name": "adamw"}
    assert set(found.origins.values()) == {"recipe quick"}


def test_a_built_in_recipe_wins_over_that_of_a_plugin() -> None:
    with registry.overlay("recipe", fast={"epochs": 8}):
        assert from_recipe("fast").values["epochs"] == 10


def test_recipes_have_the_values_of_their_sources() -> None:
    paper = resolve(TrainConfig, [from_recipe("paper")]).config
    assert (paper.steps, paper.epochs, paper.lr, paper.weight_decay, paper.batch_size) == (64000, 0, 0.1, 1e-4, 128)
    assert [share * 64000 for share in paper.schedule.milestones] == [32000, 48000]
    fast = resolve(TrainConfig, [from_recipe("fast")]).config
    assert (fast.epochs, fast.batch_size, fast.lr, fast.warmup, fast.weight_decay) == (10, 128, 0.25, "15%", 5e-4)
    assert (fast.schedule.name, fast.schedule.final_lr, fast.optim.nesterov) == ("linear", 0.0, True)
    sprint = resolve(TrainConfig, [from_recipe("sprint")]).config
    assert (sprint.epochs, sprint.progressive.initial_scale) == (19, 0.5)
    assert sprint.model_copy(update={"epochs": fast.epochs, "progressive": fast.progressive}) == fast
    strong = resolve(TrainConfig, [from_recipe("strong")]).config
    assert (strong.epochs, strong.batch_size, strong.lr, strong.schedule.name) == (200, 128, 0.1, "cosine")


def test_an_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="no recipe is called 'fst'") as caught:
        from_recipe("fst")
    assert caught.value.hint == ("did you mean 'fast'?",)


# ---- precedence


def test_each_layer_overrides_the_weaker_ones_and_sets_the_origin(toml: Any) -> None:
    keys = ["lr", "weight_decay", "label_smoothing", "grad_clip", "ema_decay", "val_fraction"]
    local = toml("".join(f"{key} = 0.3\n" for key in keys[:4]), "resnetctl.toml")
    file = toml("".join(f"{key} = 0.4\n" for key in keys[:3]), "mine.toml")
    resolved = resolve(
        TrainConfig,
        [
            layer(dict.fromkeys(keys[:6], 0.1), "default (dataset d)"),
            layer(dict.fromkeys(keys[:5], 0.2), "recipe r"),
            from_file(local),
            from_file(file),
            from_sets([f"{key}=0.5" for key in keys[:2]]),
            from_flags({"lr": 0.6}, {"lr": "--lr"}),
        ],
    )
    assert [getattr(resolved.config, key) for key in keys] == [0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert [resolved.origins[key] for key in keys] == [
        "flag --lr", "--set", f"{file}:3", f"{local}:4", "recipe r", "default (dataset d)",
    ]  # fmt: skip
    assert resolved.origins["seed"] == "default"


def test_every_leaf_has_an_origin() -> None:
    resolved = resolve(TrainConfig, [layer({"model": {"block_args": {"shortcut": "B"}}}, "x")])
    assert resolved.origins.keys() == flatten(resolved.config.model_dump()).keys()
    assert resolved.origins["model.block_args.shortcut"] == "x"


def test_a_block_removes_weaker_block_arguments() -> None:
    weak = layer({"model.block_args.a": 1, "model.arch": "net"}, "weak")
    strong = layer({"model.block": "other", "model.block_args.b": 2}, "strong")
    assert merge([weak, strong]).values == {"model.arch": "net", "model.block": "other", "model.block_args.b": 2}


def test_an_arch_removes_weaker_blocks_and_stems_only() -> None:
    described = {
        "arch": "a",
        "block": "b",
        "block_args": {"c": 1},
        "stem": "cifar",
        "activation": "silu",
        "norm": "group",
    }
    weak = layer({"model": described | {"dropout": 0.3}}, "weak")
    merged = merge([weak, layer({"model.arch": "z"}, "strong")])
    assert merged.values == {"model.arch": "z", "model.dropout": 0.3}
    assert merged.origins == {"model.arch": "strong", "model.dropout": "weak"}


def test_an_empty_block_removes_nothing() -> None:
    weak = layer({"model.block_args.a": 1}, "weak")
    assert "model.block_args.a" in merge([weak, layer({"model.block": ""}, "strong")]).values


@pytest.mark.parametrize(("weak", "strong"), [("epochs", "steps"), ("steps", "epochs")])
def test_the_stronger_of_epochs_and_steps_switches_the_other_off(weak: str, strong: str) -> None:
    resolved = resolve(TrainConfig, [layer({weak: 5}, "weak"), layer({strong: 9}, "strong")])
    assert (getattr(resolved.config, weak), getattr(resolved.config, strong)) == (0, 9)
    assert resolved.origins[weak] == resolved.origins[strong] == "strong"


def test_merge_does_not_change_its_layers() -> None:
    weak = layer({"epochs": 5, "model.block_args.a": 1}, "weak")
    merge([weak, layer({"steps": 2, "model.block": "b"}, "strong")])
    assert weak == layer({"epochs": 5, "model.block_args.a": 1}, "weak")


# ---- errors: all at once, each with its origin


def test_unknown_keys_are_all_listed_with_origin_and_suggestion(toml: Any) -> None:
    path = toml("[optim]\nnestorov = true\n")
    lines = problems(from_file(path), from_sets(["lrr=1"]))
    assert lines[0] == f"optim.nestorov: unknown key ({path}:2); did you mean 'optim.nesterov'?"
    assert lines[1] == "lrr: unknown key (--set); did you mean 'lr'?"


def test_names_of_flags_in_a_file_are_told_their_keys(toml: Any) -> None:
    path = toml('arch = "resnet20"\noptimizer = "adamw"\n')
    assert problems(from_file(path), from_sets(["teacher=last"])) == (
        f"arch: unknown key ({path}:1); did you mean 'model.arch'?",
        f"optimizer: unknown key ({path}:2); did you mean 'optim.name'?",
        "teacher: unknown key (--set); did you mean 'distill.teacher'?",
    )


def test_a_key_that_is_like_no_other_is_told_where_all_are_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, [layer({"zzz": 1}, "x.toml:1")])
    assert caught.value.problems == ("zzz: unknown key (x.toml:1)",)
    assert caught.value.hint == (Call("config show", note="lists the keys"),)


def test_wrong_values_are_all_listed_with_value_and_origin(toml: Any) -> None:
    path = toml('lr = -1\nwarmup = "soon"\n[schedule]\nmilestones = [2.0]\n[model]\nblock_args = { a = [1] }\n')
    lines = problems(from_file(path), from_flags({"epochs": "many"}, {"epochs": "--epochs"}))
    by_key = {line.partition(":")[0]: line for line in lines}
    assert "greater than 0, not -1" in by_key["lr"]
    assert by_key["lr"].endswith(f"({path}:1)")
    assert "epochs such as 5" in by_key["warmup"]
    assert by_key["warmup"].endswith(f"not 'soon' ({path}:2)")
    assert by_key["schedule.milestones"].endswith(f"({path}:4)")
    assert by_key["epochs"].endswith("not 'many' (flag --epochs)")
    kinds = "a valid boolean or a valid integer or a valid number or a valid string"
    assert by_key["model.block_args.a"] == f"model.block_args.a: should be {kinds}, not [1] ({path}:6)"
    assert len(lines) == len(by_key) == 5


def test_a_problem_inside_a_value_names_the_key_that_the_user_set() -> None:
    lines = problems(from_sets(["model.block_args.stride=[1]", "schedule.milestones=[0.5, 'x']"]))
    assert [line.partition(":")[0] for line in lines] == ["model.block_args.stride", "schedule.milestones"]
    assert lines[1] == "schedule.milestones: should be a valid number, not 'x' (--set)"


def test_a_problem_of_the_whole_config_has_no_key() -> None:
    (line,) = problems(layer({"epochs": 3, "steps": 4}, "x"))
    assert line == "give epochs or steps, one of them (got epochs=3, steps=4)"


def test_a_problem_of_a_table_names_the_origins_of_its_keys(toml: Any) -> None:
    path = toml("[progressive]\ndelay_fraction = 0.9\n")
    (line,) = problems(from_file(path), from_sets(["progressive.finetune_fraction=0.3", "lr=1"]))
    assert line.startswith("progressive: delay_fraction 0.9 and finetune_fraction 0.3 add up to more than 1")
    assert line.endswith(f"({path}:2, --set)")


def test_a_table_in_place_of_a_value_or_the_reverse_is_refused() -> None:
    assert "lr.a: unknown key (--set)" not in resolve(TrainConfig, []).origins
    with pytest.raises(ConfigError):
        resolve(TrainConfig, [from_sets(["lr.a=1"])])
    with pytest.raises(ConfigError):
        resolve(TrainConfig, [from_sets(["optim=1"])])
    with pytest.raises(ConfigError):
        resolve(TrainConfig, [from_sets(["lr=1", "lr.a=1"])])


# ---- round trips

KEYS = st.text("abc", min_size=1, max_size=3)
TREES = st.recursive(
    st.integers() | st.text(), lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


@given(TREES)
def test_nest_is_the_inverse_of_flatten(tree: Any) -> None:
    assert nest(flatten(tree)) == tree


def test_nest_refuses_a_key_that_is_a_value_and_a_table() -> None:
    for flat in ({"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}):
        with pytest.raises(ConfigError, match="'a' is a table"):
            nest(flat)


@pytest.mark.parametrize("name", ["strong", "paper", "fast", "finetune"])
def test_a_config_written_as_toml_reads_back_equal(toml: Any, name: str) -> None:
    sets = from_sets(["model.block_args.shortcut=B", "model.block_args.n=2", 'data=./a "b"\\c', "lr=1e-7"])
    config = resolve(FinetuneConfig, [from_recipe(name), sets]).config
    path = toml(to_toml(config, header="one\ntwo"))
    assert path.read_text().startswith("# one\n# two\n")
    assert resolve(FinetuneConfig, [from_file(path)]).config == config
    assert to_toml(resolve(FinetuneConfig, [from_file(path)]).config, header="one\ntwo") == path.read_text()


def test_toml_holds_every_key() -> None:
    text = to_toml(TrainConfig())
    assert flatten(tomllib.loads(text)).keys() == flatten(TrainConfig().model_dump()).keys()


def test_an_arch_flag_keeps_block_arguments_set_in_the_same_command() -> None:
    file = layers.layer({"model": {"arch": "resnet20", "block_args": {"shortcut": "A", "old": 1}}}, "file:1")
    typed = layers.together(
        from_sets(["model.block_args.shortcut=B", "lr=1"]),
        from_flags({"model.arch": "resnet32", "lr": 2}, {"model.arch": "--arch", "lr": "--lr"}),
    )
    merged = layers.merge([file, typed])
    assert merged.values == {"model.arch": "resnet32", "model.block_args.shortcut": "B", "lr": 2}
    assert merged.origins["lr"] == "flag --lr"
    assert merged.origins["model.block_args.shortcut"] == "--set"


def test_the_environment_layer_has_only_variables_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment(settings.load()) == Layer()
    monkeypatch.setenv("RESNETCTL_DEVICE", "cpu")
    settings.load.cache_clear()
    assert from_environment(settings.load()).origins == {"device": "env RESNETCTL_DEVICE"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = " + b"[" * 10**5, "nested too deep"),
        (b".".join([b"a"] * 50_000) + b" = 1", "more than 64 dots"),
        (b"epochs = " + b"9" * 5000, "not TOML"),
        (b"# " + b"x" * layers.MAX_CONFIG, "more than 262,144 bytes"),
        (None, "not a plain file"),
    ],
)
def test_a_config_without_end_is_one_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content) if content is not None else os.mkfifo(path)
    with pytest.raises(ConfigError, match=message) as caught:
        from_file(path)
    assert str(path) in str(caught.value.where)


def test_thousands_of_unknown_keys_make_a_short_error() -> None:
    with pytest.raises(ConfigError, match="unknown keys") as caught:
        resolve(TrainConfig, [layer({f"key{number}": 1 for number in range(20_000)}, "file")])
    assert len(caught.value.problems) == layers.SHOWN + 1
    assert caught.value.problems[-1] == "and 19,980 more"


@pytest.mark.parametrize("key", ["lr", "epochs", "seed", "warmup", "augment_until"])
def test_true_is_no_number(key: str) -> None:
    with pytest.raises(ConfigError, match="wrong values") as caught:
        resolve(TrainConfig, [layer({key: True}, "file:3")])
    assert caught.value.problems == (f"{key}: should be a number, not true (file:3)",)


def test_a_seed_fits_into_the_card_of_the_weights() -> None:
    assert resolve(TrainConfig, [layer({"seed": 10**18}, "file")]).config.seed == 10**18
    with pytest.raises(ConfigError):
        resolve(TrainConfig, [layer({"seed": 10**18 + 1}, "file")])


def test_a_short_key_of_a_policy_works_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('data = "digits"\n\n[augment]\nreach = 0.25\n')
    assert from_file(path).values == {"data": "digits", "augment_args.reach": 0.25}
    path.write_text('augment = "shift"\n\n[augment_args]\nreach = 0.25\n')
    parsed = from_file(path)
    assert parsed.values == {"augment": "shift", "augment_args.reach": 0.25}
    assert parsed.origins["augment_args.reach"] == f"{path}:4"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"model.block_args.ratio" = 1', "model.block_args.ratio"),
        ("'model.block_args.ratio' = 1", "model.block_args.ratio"),
        ('model."block_args" . ratio = 1', "model.block_args.ratio"),
        ("model.'block_args.ratio' = 1", "model.block_args.ratio"),
        ('[model."block_args"]', "model.block_args"),
        ("[ model . block_args ]  # of the block", "model.block_args"),
        ('[["items"]]', "items.0"),
        ('"a key" = 1', "a key"),
    ],
)
def test_a_key_in_quotes_has_a_place(text: str, key: str) -> None:
    tomllib.loads(text)
    assert places(f"# a comment\n{text}\n", "own.toml")[key] == "own.toml:2"


def test_text_that_only_looks_like_a_key_has_no_place() -> None:
    assert places('"no key"\n"a" "b" = 1\n= 2\n', "own.toml") == {}


@pytest.mark.parametrize("arguments", ["[augment]\nside = 20", "augment.side = 20", "[ augment ]\nside = 20"])
def test_a_policy_and_a_table_of_the_same_name_are_told_the_name_of_the_table(tmp_path: Path, arguments: str) -> None:
    path = tmp_path / "my.toml"
    path.write_text(f'augment = "erase"\n{arguments}\n')
    with pytest.raises(ConfigError, match="at line 2") as caught:
        from_file(path)
    assert caught.value.hint == (POLICY_IN_FILE,)
    path.write_text('seed = 1\naugment = "erase"\nseed = 2\n')
    with pytest.raises(ConfigError) as caught:
        from_file(path)
    assert caught.value.hint == ()
