"""The design's layers, rules and house budget, checked on the source. A failure lists file:line and the rule."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "resnetctl"

# Imports go strictly downward. Units of one row do not import each other; within a unit any acyclic import goes.
ROWS: tuple[tuple[str, ...], ...] = (
    ("hints", "wording", "notebook_tables"),
    ("errors", "fields"),
    ("spec", "rng"),
    ("exporting",),
    ("system",),
    ("registry",),
    ("config",),
    ("models", "data"),
    ("engine", "weights", "blocks"),
    ("deploy", "trust"),
    ("compress",),
    ("facts",),
    ("runs",),
    ("report",),
    ("training",),
    ("tasks",),
    ("predictor", "backbones"),
    ("stream", "progress", "run"),
    ("api", "testing"),
    ("cli", "__main__"),
)
SHARED_BY_TASKS = ("datasets", "held_out", "judge", "near", "nets", "predictions", "remarks", "sources", "targets")
LEVEL = {unit: level for level, row in enumerate(ROWS) for unit in row}
SIBLINGS_THAT_MEET = {("__main__", "cli")}
BELOW_DATA = ("hints", "wording", "notebook_tables", "errors", "fields", "spec", "rng", "system", "registry", "config")

HEAVY = {"torch", "torchvision", "numpy", "PIL", "onnx", "onnxruntime", "onnxscript", "pydantic_settings"}
TORCH = {"torch", "torchvision"}
# Modules that load nothing heavy when they are imported, and modules that load anything but torch.
LIGHT = (*BELOW_DATA, "models.archs", "data.cards", "cli", "__main__", "__init__")
TORCH_FREE = (
    "data.store", "data.ingest", "data.reading", "data.images", "data.splits",
    "data.datasets", "data.cards",
    "tasks.predict", "tasks.evaluate", "engine.metrics", "runs", "report", "trust",
    "deploy.onnx_checks", "deploy.onnx_session", "deploy.parity",
)  # fmt: skip

RUN_FILES = {
    "config.toml", "config.sources.json", "env.json", "metrics.jsonl", "timings.jsonl", "model.safetensors",
    "summary.json", "failure.json",
}  # fmt: skip
# Calls that only make a value. Besides these: classes, and functions of the same module.
PURE_CALLS = {
    "argument", "array", "cast", "compile", "dict", "field", "fields", "files", "float", "frozenset", "get_args", "int",
    "len", "log", "maketrans", "max", "min", "namedtuple", "option", "partial", "range", "resolve_type_descriptor",
    "round", "set", "sorted", "split", "splitlines", "sqrt", "tuple",
}  # fmt: skip
# Modules that are data, doors or thin shells, tested through something else (said there).
TESTED_ELSEWHERE = {"facts"}


@dataclass(frozen=True)
class Module:
    """One source file. `name` has no package prefix: `data.store`; packages are named by their folder."""

    path: Path
    name: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def unit(self) -> str:
        return self.name.partition(".")[0]

    def at(self, node: ast.AST | int) -> str:
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return f"{self.path.relative_to(ROOT)}:{line}"


def _modules() -> dict[str, Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = Module(path, name)
    return found


MODULES = _modules()
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Imported:
    """One import. `target` is `torch.nn` or, in this package, `data.store`; `when` is load, call or typing."""

    target: str
    own: bool
    when: str
    line: int


def imports(module: Module) -> list[Imported]:
    """Every import of a module, with when it happens."""
    return list(_imports(module.tree.body, "load"))


def _imports(body: list[ast.stmt], when: str) -> Iterator[Imported]:
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _imported(alias.name, when, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            for alias in node.names:
                yield _imported(f"{node.module}.{alias.name}", when, node.lineno)
        else:
            typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            inner = "typing" if typing else "call" if isinstance(node, Function) else when
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _imports(getattr(node, field, []), inner)


def _imported(dotted: str, when: str, line: int) -> Imported:
    if dotted.partition(".")[0] != "resnetctl":
        return Imported(dotted, False, when, line)
    target = dotted.removeprefix("resnetctl").removeprefix(".") or "__init__"
    while target not in MODULES and "." in target:
        target = target.rpartition(".")[0]
    return Imported(target if target in MODULES else "__init__", True, when, line)


def functions(module: Module) -> Iterator[tuple[Function, bool]]:
    """Every function with whether it is public: no name on the way to it is private, and it is not nested in one.

    The signatures of an overloaded function are left out: the implementation speaks for them.
    """

    def walk(node: ast.AST, public: bool) -> Iterator[tuple[Function, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function) and "overload" in map(ast.unparse, child.decorator_list):
                continue
            if isinstance(child, Function):
                yield child, public and not child.name.startswith("_")
                yield from walk(child, False)
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, public and not child.name.startswith("_"))
            else:
                yield from walk(child, public)

    return walk(module.tree, True)


def within(name: str, units: tuple[str, ...]) -> bool:
    return any(name == unit or name.startswith(unit + ".") for unit in units)


def none_of(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


# ---- layers


def test_every_module_has_a_layer() -> None:
    none_of(
        [f"{module.at(1)}: in no row of ROWS" for module in MODULES.values() if module.unit not in (*LEVEL, "__init__")]
    )


def test_imports_go_strictly_downward() -> None:
    problems = []
    for module in MODULES.values():
        for item in imports(module):
            source, target = module.unit, item.target.partition(".")[0]
            if not item.own or source == target or "__init__" in (source, target):
                continue
            if LEVEL[target] >= LEVEL[source] and (source, target) not in SIBLINGS_THAT_MEET:
                kind = "sideways" if LEVEL[target] == LEVEL[source] else "upward"
                problems.append(f"{module.at(item.line)}: {source} imports {kind} from {target}")
    none_of(problems)


def test_imports_are_acyclic() -> None:
    """Also those inside functions and those for types only: a circle of either kind is a word with two homes."""
    graph = {
        name: {item.target for item in imports(module) if item.own} - {name, "__init__"}
        for name, module in MODULES.items()
    }
    done: set[str] = set()
    problems: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            problems.append(f"{MODULES[name].at(1)}: cycle " + " -> ".join((*path[path.index(name) :], name)))
        elif name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    none_of(problems)


def test_a_verb_borrows_nothing_from_another_verb() -> None:
    """What two verbs need lies below both, in a room or in one of the modules that tasks share."""
    problems = []
    for name, module in MODULES.items():
        room, _, rest = name.partition(".")
        verb = rest.partition(".")[0]
        if room != "tasks" or not verb or verb in SHARED_BY_TASKS:
            continue
        for item in imports(module):
            other = item.target.partition(".")[2].partition(".")[0]
            if item.own and item.target.startswith("tasks.") and other not in (verb, *SHARED_BY_TASKS):
                problems.append(f"{module.at(item.line)}: {verb} borrows from {other}")
    none_of(problems)


def test_a_command_borrows_nothing_from_another_command() -> None:
    none_of(
        [
            f"{module.at(item.line)}: imports {item.target}"
            for name, module in MODULES.items()
            if name.startswith("cli.commands.")
            for item in imports(module)
            if item.target.startswith("cli.commands.")
        ]
    )


def loads(start: str, wanted: set[str]) -> Iterator[str]:
    """How importing module `start` reaches one of `wanted`: file:line of the import, and the shortest way there."""
    ways, waiting = {start: start}, [start]
    for name in waiting:
        for item in imports(MODULES[name]):
            if item.when != "load":
                continue
            if item.own and item.target not in ways:
                ways[item.target] = f"{ways[name]} -> {item.target}"
                waiting.append(item.target)
            elif not item.own and item.target.partition(".")[0] in wanted:
                yield f"{MODULES[name].at(item.line)}: loads {item.target}, reached by {ways[name]}"


@pytest.mark.parametrize(("units", "wanted"), [(LIGHT, HEAVY), (TORCH_FREE, TORCH)], ids=["light", "torch-free"])
def test_rule_1_what_loads_without(units: tuple[str, ...], wanted: set[str]) -> None:
    found = {line for name in MODULES if within(name, units) for line in loads(name, wanted)}
    none_of(sorted(found))


def test_cli_imports_what_works_inside_command_bodies() -> None:
    allowed = (*BELOW_DATA, "cli", "__init__")
    none_of(
        [
            f"{module.at(item.line)}: cli loads {item.target}; import it inside the command"
            for module in MODULES.values()
            for item in imports(module)
            if module.unit in ("cli", "__main__")
            and item.own
            and item.when == "load"
            and not within(item.target, allowed)
        ]
    )


# ---- rule 2: who may do what


def offenders(allowed: tuple[str, ...], offence: Callable[[ast.AST], str]) -> list[str]:
    return [
        f"{module.at(node)}: {offence(node)}, which is for {', '.join(allowed)} alone"
        for name, module in MODULES.items()
        if not within(name, allowed)
        for node in ast.walk(module.tree)
        if offence(node)
    ]


def called(node: ast.AST) -> str:
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def test_only_cli_prints() -> None:
    def offence(node: ast.AST) -> str:
        if called(node) in ("print", "input"):
            return f"calls {called(node)}()"
        written = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        return f"uses {written}" if written in ("sys.stdout", "sys.stderr") else ""

    # registry sends what a plugin prints while it is imported to stderr
    none_of(offenders(("cli", "__main__", "registry", "progress"), offence))


def test_only_storage_renames_fsyncs_and_locks() -> None:
    words = r"os\.(replace|rename|renames|fsync|fdatasync|link)|shutil\.move|fcntl\..*|.*\.rename|(Soft|Unix)?FileLock"

    def offence(node: ast.AST) -> str:
        name = called(node)
        if re.fullmatch(words, name):
            return f"calls {name}()"
        # str.replace takes two arguments, Path.replace one
        lone = isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords
        return f"calls {name}() on a path" if lone and name.endswith(".replace") else ""

    none_of(offenders(("system.storage", "system.exchange", "system.locks"), offence))


def test_only_registry_reads_entry_points() -> None:
    def offence(node: ast.AST) -> str:
        names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        named = "entry_points" in names or getattr(node, "attr", "") in ("entry_points", "EntryPoint")
        return "names entry_points" if named else ""

    none_of(offenders(("registry",), offence))


def test_only_runs_names_and_writes_run_files() -> None:
    def offence(node: ast.AST) -> str:
        if isinstance(node, ast.Constant) and node.value in RUN_FILES:
            return f"names {node.value}"
        return f"calls {called(node)}()" if called(node) in ("storage.append", "storage.truncate_lines") else ""

    none_of(offenders(("runs", "trust.looks"), offence))  # the ledger of looks is appended to as well


def test_only_report_writes_markup() -> None:
    def offence(node: ast.AST) -> str:
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        found = re.search(r"<(table|tr|td|th|svg|div|span|html|style)\b", text)
        return f"writes {found.group()}>" if found else ""

    none_of(offenders(("report", "notebook_tables"), offence))


def test_only_the_command_line_speaks_of_flags_and_commands() -> None:
    """Below it an error names a setting and a verb as data (`hints`), so that a notebook is told about arguments."""
    verbs = "bench|config|data|eval|export|finetune|plugins|predict|report|runs|slurm|sweep|train|weights"

    def offence(node: ast.AST) -> str:
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if "\n" in text or id(node) in spared or "pip install" in text:
            return ""
        found = re.search(rf"(?<![\w-])--[a-z][a-z-]+|\bresnetctl ({verbs})\b", text)
        return f"writes '{found.group()}'" if found else ""

    nodes = [node for module in MODULES.values() for node in ast.walk(module.tree)]
    spared = {  # docstrings, and where an option declares its flag
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | Function) and node.body and isinstance(node.body[0], ast.Expr)
    } | {id(node.value) for node in nodes if isinstance(node, ast.keyword) and node.arg == "flag"}
    # the last two write commands to run: a process that is timed, and what the metadata of a file tells its finder
    allowed = ("cli", "__main__", "hints", "testing", "tasks.bench.baselines", "deploy.onnx_writer")
    none_of(offenders(allowed, offence))


def test_the_core_names_no_plugin_of_this_repository() -> None:
    projects = [tomllib.loads(path.read_text()) for path in ROOT.glob("plugins/*/pyproject.toml")]
    names = {re.sub(r"[-_.]+", "[-_.]", project["project"]["name"]) for project in projects}
    none_of(
        [
            f"{module.at(number)}: names the plugin {name}"
            for module in MODULES.values()
            for number, line in enumerate(module.text.splitlines(), start=1)
            for name in names
            if re.search(rf"\b{name}\b", line, re.IGNORECASE)
        ]
    )


# ---- house budget


def length(node: Function) -> int:
    """Lines after `def` to the end, docstring not counted."""
    docstring = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
    spared = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (node.end_lineno or 0) - node.lineno - spared


def test_function_lengths() -> None:
    lengths = {module.at(node): length(node) for module in MODULES.values() for node, _ in functions(module)}
    none_of([f"{where}: {lines} lines, 60 is the most" for where, lines in lengths.items() if lines > 60])
    longer = [f"{where}: {lines} lines" for where, lines in lengths.items() if lines > 35]
    assert len(longer) <= 0.05 * len(lengths), "over 5 % of the functions have more than 35 lines:\n" + "\n".join(
        longer
    )
    assert statistics.median(lengths.values()) <= 10


def test_file_lengths() -> None:
    sizes = {module.at(1): len(module.text.splitlines()) for module in MODULES.values()}
    none_of([f"{where}: {lines} lines, 350 is the most" for where, lines in sizes.items() if lines > 350])


def test_folders_have_at_most_15_modules() -> None:
    sizes = Counter(module.path.parent for module in MODULES.values() if module.path.name != "__init__.py")
    none_of([f"{folder.relative_to(ROOT)}: {count} modules" for folder, count in sizes.items() if count > 15])


def test_parameters() -> None:
    problems = []
    for module in MODULES.values():
        for node, public in functions(module):
            positional = [
                arg.arg for arg in (*node.args.posonlyargs, *node.args.args) if arg.arg not in ("self", "cls")
            ]
            if len(positional) + len(node.args.kwonlyargs) > 6:
                problems.append(f"{module.at(node)}: {node.name} has more than 6 parameters")
            if public and len(positional) > 2:
                problems.append(f"{module.at(node)}: {node.name} needs keyword-only parameters after the second")
    none_of(problems)


def test_public_functions_say_what_they_do_and_return() -> None:
    problems = []
    for module in MODULES.values():
        top = {id(node) for node in module.tree.body}
        for node, public in functions(module):
            if public and node.returns is None:
                problems.append(f"{module.at(node)}: {node.name} has no return annotation")
            if public and id(node) in top and not ast.get_docstring(node):
                problems.append(f"{module.at(node)}: {node.name} has no docstring")
        if module.text.strip() and not ast.get_docstring(module.tree):
            problems.append(f"{module.at(1)}: the module has no docstring")
    none_of(problems)


def test_no_module_level_side_effects() -> None:
    none_of([problem for module in MODULES.values() for problem in side_effects(module, module.tree.body)])


def side_effects(module: Module, body: list[ast.stmt]) -> Iterator[str]:
    """What runs when the module is imported and does more than name a value."""
    own = {node.name for node in module.tree.body if isinstance(node, Function)}
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from side_effects(module, node.body)
        elif isinstance(node, ast.If) and re.search("TYPE_CHECKING|__name__", ast.unparse(node.test)):
            continue
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for inner in ast.walk(node):
                name = called(inner).rpartition(".")[2]
                if name and not (name[:1].isupper() or name.lstrip("_")[:1].isupper() or name in PURE_CALLS | own):
                    yield f"{module.at(inner)}: calls {called(inner)}() while the module loads"
        elif not isinstance(node, Function | ast.Import | ast.ImportFrom | ast.Pass) and not _is_text(node):
            yield f"{module.at(node)}: a {type(node).__name__} statement runs while the module loads"


def _is_text(node: ast.stmt) -> bool:
    """A docstring, or the `...` of a protocol."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_tests_mirror_the_package() -> None:
    problems = []
    for name, module in MODULES.items():
        if "__" in name or module.path.name == "__init__.py" or name in TESTED_ELSEWHERE:
            continue
        *folders, stem = name.split(".")
        expected = ROOT.joinpath("tests", *folders, f"test_{stem.lstrip('_')}.py")
        if not expected.exists():
            problems.append(f"{module.at(1)}: {expected.relative_to(ROOT)} is missing")
    none_of(problems)


def test_there_is_a_test_line_for_every_line_of_code() -> None:
    def lines(folder: Path) -> int:
        return sum(bool(line.strip()) for path in folder.rglob("*.py") for line in path.read_text("utf-8").splitlines())

    ratio = lines(ROOT / "tests") / lines(PACKAGE)
    assert 1.0 <= ratio <= 1.6, f"{ratio:.2f} test lines per code line, 1.0 to 1.6 is the budget"


# ---- rule 1 again, in real processes

TORCH_FREE_COMMANDS = {
    "help": ["--help"],
    "help-all": ["--help-all"],
    "version": ["--version"],
    "verb help": ["train", "--help"],
    "archs": ["plugins", "list"],
    "datasets": ["data", "list"],
    "runs": ["runs", "list"],
    "config": ["config", "show", "--data", "digits"],
    "validation": ["train", "--data", "digits", "--set", "no.such.key=1"],
}
PROBE = """
import sys
from resnetctl.__main__ import main
sys.argv[0] = "resnetctl"
code = 0
try:
    code = main()
except SystemExit as stop:
    code = stop.code
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


def loaded_by(arguments: list[str]) -> tuple[int, set[str]]:
    """Exit code and top-level modules of `resnetctl ARGUMENTS` in a process of its own."""
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, timeout=120)
    lines = [line for line in done.stderr.splitlines() if line.startswith("LOADED ")]
    assert lines, f"resnetctl {' '.join(arguments)} did not come to its end:\n{done.stderr[-2000:]}"
    return done.returncode, set(lines[-1].split()[1:])


@pytest.mark.parametrize("name", TORCH_FREE_COMMANDS)
def test_commands_that_load_nothing_heavy(name: str) -> None:
    code, modules = loaded_by(TORCH_FREE_COMMANDS[name])
    assert code == (2 if name == "validation" else 0)
    assert not modules & (HEAVY - {"pydantic_settings"}), f"{name} loads {sorted(modules & HEAVY)}"
