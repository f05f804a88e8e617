"""The documentation: every command, flag, link and key exists, and generated pages are fresh."""

import contextlib
import dataclasses
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scripts import load_script
from typer.main import get_command

from resnetctl import errors, registry
from resnetctl.cli.apps import group_app
from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.cli.screen import help
from resnetctl.cli.verbs import ROOT as COMMANDS
from resnetctl.config.layers import from_recipe, layer, packaged_recipes, resolve
from resnetctl.config.schema import FinetuneConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES = [*ROOT_PAGES, *sorted(DOCS.rglob("*.md"))]
GENERATED = ("api.md", "cli.md", "config.md", "conformance.md", "spec.md")
WRITTEN = [page for page in PAGES if page.parent.name != "reference" or page.name not in GENERATED]
SHELL = ("", "sh", "bash", "console")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(home|root|Users|work|opt|tmp|mnt)/")
KEYED_BY = {
    "model.arch": "arch",
    "model.block": "block",
    "augment": "policy",
    "optim.name": "optimizer",
    "schedule.name": "schedule",
    "objective.name": "objective",
}


@dataclasses.dataclass(frozen=True)
class Fence:
    """One fenced piece of code in a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def fences_in(*languages: str) -> list[Fence]:
    fences = []
    for page in WRITTEN:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match.group(1) in languages:
                fences.append(Fence(page, text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2)))
    return fences


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words after `resnetctl` for every command in a shell text."""
    for line in text.replace("\\\n", " ").splitlines():
        with contextlib.suppress(ValueError):  # prose and screens are not shell
            words = list(_shell_words(line.removeprefix("$ ")))
            for command in _split(words):
                while command and re.fullmatch(r"[A-Z_]+=.*", command[0]):
                    command = command[1:]
                if command[:1] == ["resnetctl"]:
                    yield command[1:]


def _shell_words(line: str) -> Iterator[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    yield from lexer


def _split(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in words:
        if word in ("&&", "||", "|", ";", ">", "2>", "(", ")"):
            yield command
            command = []
        else:
            command.append(word)
    yield command


def recording(group: Group, seen: list[Parsed[Any]]) -> Group:
    """Return the same commands; they append their arguments to `seen` and do nothing else."""
    members = {}
    for name in group.members:
        member = group.load(name)
        assert member is not None
        members[name] = (
            recording(member, seen) if isinstance(member, Group) else dataclasses.replace(member, run=seen.append)
        )
    return dataclasses.replace(group, members=members)


def check_command(words: list[str], recorder: Group, seen: list[Parsed[Any]]) -> None:
    """Parse a command as the program does. Raises what the program raises."""
    seen.clear()
    get_command(group_app(recorder)).main(words, "resnetctl", standalone_mode=False)
    for parsed in seen:
        options = parsed.options.model_dump()
        if options.get("recipe"):
            from_recipe(options["recipe"])
        resolve(FinetuneConfig, [from_sets(options.get("sets", ()))])
        for key, kind in KEYED_BY.items():
            if key in parsed.values and parsed.values[key] not in plugin_names():
                registry.find(kind, parsed.values[key])  # type: ignore[arg-type]


def plugin_names() -> set[str]:
    """Return the names that the plugins of this repository add, installed or not."""
    projects = [tomllib.loads(path.read_text()) for path in ROOT.glob("*/*/pyproject.toml")]
    groups = [group for project in projects for group in project["project"].get("entry-points", {}).values()]
    return {name for group in groups for name in group}


SHELL_FENCES = [fence for fence in fences_in(*SHELL) if "resnetctl" in fence.text]


@pytest.mark.parametrize("fence", SHELL_FENCES, ids=str)
def test_every_command_in_a_page_can_be_parsed(fence: Fence, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Parsed[Any]] = []
    recorder = recording(COMMANDS, seen)
    for words in command_lines(fence.text):
        try:
            check_command(words, recorder, seen)
        except errors.ResnetctlError as error:
            pytest.fail(f"{fence}: resnetctl {' '.join(words)}: {error.message}; {' '.join(error.hint)}")


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_flags_in_the_prose_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    if page.name in ("from-timm.md", "from-torchvision.md"):  # the first column has the flags of another program
        text = re.sub(r"^\|[^|]*\|", "|", text, flags=re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", text)
    for code in inline:
        words = code.split()
        if words[:1] == ["resnetctl"]:
            assert named(words[1:]), f"`{code}` names no command, or a flag that it does not have"
        elif code.startswith("--") and page.name not in ("CONTRIBUTING.md",):
            assert words[0].partition("=")[0] in every_flag(), f"`{code}`: no command has this flag"


def named(words: list[str]) -> bool:
    """Whether the first words name a command or a group that has the flags among the other words."""
    member: Command | Group | None = COMMANDS
    while isinstance(member, Group) and words and not words[0].startswith("-") and words[0].isalpha():
        if words[0].isupper():  # resnetctl VERB
            return True
        member, words = member.load(words[0]), words[1:]
    if member is None:
        return False
    own = every_flag() if isinstance(member, Group) else flags_of(member)
    return all(word in own for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word))


def flags_of(command: Command) -> set[str]:
    own = {word for flag in command.all_flags() for word in (flag.flag, flag.short) if word}
    return own | {f"--no-{flag.flag.removeprefix('--')}" for flag in command.config_flags()}


def every_flag() -> set[str]:
    known = {"--version", "-V", "--install-completion", "--show-completion", "--check"}
    for _, command in generator().commands(COMMANDS, "resnetctl"):
        known |= flags_of(command)
    return known


@pytest.mark.parametrize("fence", fences_in("toml"), ids=str)
def test_toml_examples_are_configs(fence: Fence) -> None:
    values = tomllib.loads(fence.text)
    if not {"project", "build-system", "tool"} & set(values):  # those are of pyproject.toml
        resolve(FinetuneConfig, [layer(values, str(fence))])


@pytest.mark.parametrize("fence", fences_in("python", "py"), ids=str)
def test_python_examples_compile(fence: Fence) -> None:
    compile(fence.text, str(fence), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    inline, by_name = re.findall(r"\]\(([^)\s]+)\)", text), dict(re.findall(r"^\[(.+)\]: (\S+)$", text, re.MULTILINE))
    assert all(text.count(f"[{name}]") > 1 for name in by_name), "a link that is defined is used"
    for target in [*inline, *by_name.values()]:
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([^)#\s]+\.md)\)", index)) & pages == pages


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "examples").glob("*.*"))], ids=lambda page: page.name)
def test_no_page_names_a_path_of_one_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not MACHINE_PATH.search(text)
    assert str(ROOT) not in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_environment_variables_exist(page: Path) -> None:
    names = ("DATA_DIR", "RUNS_DIR", "DEVICE", "THREADS", "CACHE_GB", "PLUGINS", "TEST_DATA")
    known = {f"RESNETCTL_{name}" for name in names}
    assert set(re.findall(r"RESNETCTL_[A-Z_]+", page.read_text(encoding="utf-8"))) <= known


def generator() -> Any:
    return load_script(DOCS / "generate.py")


def test_generated_pages_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert generator().main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = generator()
    monkeypatch.setattr(module, "REFERENCE", tmp_path)
    assert module.main(["--check"]) == 1
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
    (tmp_path / "cli.md").write_text("old")
    assert module.main(["--check"]) == 1


def test_the_command_check_finds_wrong_commands() -> None:
    seen: list[Parsed[Any]] = []
    recorder = recording(COMMANDS, seen)
    wrong = [
        "resnetctl trian",
        "resnetctl train --epoch 3",
        "resnetctl train --epochs three",
        "resnetctl train --recipe quick",
        "resnetctl train --arch resnet21",
        "resnetctl train --set optim.nestrov=false",
        "resnetctl eval --split dev",
        "cd x && X=1 resnetctl export --oxxn",
    ]
    for line in wrong:
        for words in command_lines(line):
            with pytest.raises(errors.ResnetctlError):
                check_command(words, recorder, seen)
    assert [words for line in wrong for words in command_lines(line)][-1] == ["export", "--oxxn"]
    assert not named(["train", "--epoch"])
    assert not named(["fly"])


def test_the_readme_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = (
        "pip install . && resnetctl train --arch resnet20 --data digits && resnetctl eval && resnetctl export --onnx"
    )
    assert f"```sh\n{first}\n```" in text.replace("&&\n  ", "&& ")
    lines = text.splitlines()
    developers = [line for line in lines if re.match(r"pip install .*&& pytest", line)]
    assert developers == ["pip install -e . -e '.[dev]' ./plugins/* && pytest"]
    assert developers[0] in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()


def test_the_lines_of_the_readme_have_at_most_100_columns() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 100] == []


def test_the_page_lists_the_exit_codes_of_all_errors() -> None:
    text = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    documented = set(map(int, re.findall(r"^\| (\d+) \|", text, re.MULTILINE)))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {kind.exit_code for kind in kinds if hasattr(kind, "exit_code")} <= documented
    assert documented == {0, 1, 2, 3, 4, 5, 130, 141, 143}


def test_the_help_screens_name_the_recipes() -> None:
    train = COMMANDS.load("train")
    assert isinstance(train, Command)
    screen = help.command_help(train, "resnetctl train")
    assert all(name in screen for name in packaged_recipes())
