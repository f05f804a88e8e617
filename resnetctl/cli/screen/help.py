"""The help screens. They do without rich, which loads longer than the rest of the program and wraps examples."""

import sys
import textwrap
from collections.abc import Iterable, Sequence

from resnetctl.cli.parser.command import Command, Group, is_argument, is_repeated, is_switch
from resnetctl.cli.parser.values import choices
from resnetctl.cli.screen import streams
from resnetctl.config.options import USED, Flag, flags
from resnetctl.system.installed import some_mention

Row = tuple[str, str]
WIDEST = 100
HELP = ("--help", "-h", "--help-all")
SHARED = ("Global", "Help")  # panels of the options that every command has
PANELS = (USED, "Model", "Optimisation", "Data", "Large data", "Quantisation", "Machine", "Run", "Other", *SHARED)


def requested(root: Group, argv: Sequence[str]) -> str | None:
    """Return the screen if `argv` is the words of a command and a help flag, else None. Needs no parser."""
    *words, last = argv or ("",)
    if last not in HELP:
        return None
    item: Command | Group | None = root
    for word in words:
        item = item.load(word) if isinstance(item, Group) else None
    return screen(item, " ".join((root.name, *words)), full=last not in HELP[:2]) if item is not None else None


def screen(item: Command | Group, path: str, *, full: bool = False) -> str:
    """Return the screen of a command or a group."""
    return group_help(item, path, full=full) if isinstance(item, Group) else command_help(item, path, full=full)


def group_help(group: Group, path: str, *, full: bool = False) -> str:
    """Return the screen of a group: members by panel, and examples."""
    parts = [_usage(f"{path} COMMAND ..."), _prose(group.summary), _examples(group.examples)]
    titles = {getattr(member, "panel", "") for member in group.members.values()}
    for title in sorted(titles, key=lambda title: title != "Work"):
        rows = [(name, item.summary) for name, item in group.members.items() if getattr(item, "panel", "") == title]
        parts.append(_panel(title or "Commands", rows))
    parts.append(_panel("Plugins", _of_plugins(group.kind)))
    if full:
        parts.append(_panel("Options", [_row(flag) for flag in flags(group.options)]))
    names = [f"{flag.short}/{flag.flag}" if flag.short else flag.flag for flag in flags(group.options)]
    short = "  ".join(name for name in names if name != "--json")
    parts.append(_notes([*([] if full else [f"Options: {short}"]), f"Help:    {path} COMMAND --help", *group.notes]))
    return _joined(parts)


def _of_plugins(kind: str) -> list[Row]:
    """Return the members that plugins add to a group. Reads metadata only."""
    if not kind or not some_mention(f"resnetctl.{kind}s"):
        return []
    from resnetctl import registry

    usable = [entry for entry in registry.entries(kind) if entry.status in ("available", "clash")]
    names = [f"{entry.distribution}:{entry.name}" if entry.status == "clash" else entry.name for entry in usable]
    return [(name, f"from {entry.distribution} {entry.version}") for name, entry in zip(names, usable, strict=True)]


def command_help(command: Command, path: str, *, full: bool = False) -> str:
    """Return the screen of a command: most used options and examples, or every option by panel."""
    words = [_placeholder(flag) for flag in command.arguments()]
    parts = [_usage(" ".join([path, *words, "[OPTIONS]"])), _prose(command.summary), _examples(command.examples)]
    parts.append(_panel("Arguments", [(str(flag.metavar), _help(flag)) for flag in command.arguments()]))
    named = [flag for flag in command.all_flags() if not is_argument(flag)]
    shown = [title for title in PANELS if full or title == USED]
    column = max((len(_names(flag)) for flag in named if flag.panel in shown), default=0)
    for title in shown:
        name = "Options" if title == USED and command.config is None else title
        parts.append(_panel(name, [_row(flag) for flag in _in_panel(named, title)], column=column))
    hidden = [flag.panel for flag in named if flag.panel not in shown]
    has_own = not set(hidden) <= set(SHARED)
    more = (f"More:    {path} --help-all    shows {len(hidden)} more options",) if has_own else ()
    parts.append(_notes([*command.notes, *more]))
    return _joined(parts)


def _in_panel(named: Iterable[Flag], title: str) -> list[Flag]:
    return sorted((flag for flag in named if flag.panel == title), key=lambda flag: flag.key == "as_json")


def _usage(text: str) -> list[str]:
    return [f" {streams.paint('Usage:', 'bold')} {text}"]


def _prose(text: str) -> list[str]:
    return textwrap.wrap(text, min(streams.width(), WIDEST), initial_indent=" ", subsequent_indent=" ")


def _notes(notes: Iterable[str]) -> list[str]:
    wrapper = textwrap.TextWrapper(
        min(streams.width(), WIDEST), initial_indent=" ", subsequent_indent=" " * 10, break_on_hyphens=False
    )
    return [line for note in notes for line in wrapper.wrap(note)]


def _examples(examples: Sequence[Row]) -> list[str]:
    if not examples:
        return []
    column = max((len(line) for line, _ in examples if len(line) <= 54), default=0)
    lines = [f" {streams.paint('Examples', 'bold')}"]
    beside = all(max(column, len(line)) + 5 + len(text) <= streams.width() for line, text in examples if text)
    for line, text in examples:
        lines.append(f"   {streams.paint(line.ljust(column) if beside else line, 'cyan')}" + f"  {text}" * beside)
        if text and not beside:
            lines.append(f"     {text}")
    return [line.rstrip() for line in lines]


def _panel(title: str, rows: Sequence[Row], *, column: int = 0) -> list[str]:
    """Return a titled box on a terminal, a titled list elsewhere."""
    if not rows:
        return []
    column = max(column, *(len(name) for name, _ in rows))
    boxed = streams.is_terminal(sys.stdout)
    columns = min(streams.width(), WIDEST)
    lines = [line for row in rows for line in _cells(row, column, columns - column - 6)]
    painted = [streams.paint(name.ljust(column), "cyan") + "  " + text for name, text in lines]
    if not boxed:
        return [f" {title}", *(f"   {line}".rstrip() for line in painted)]
    lengths = [column + 2 + len(text) for _, text in lines]
    inner = columns - 4
    body = [f"│ {line}{' ' * (inner - length)} │" for line, length in zip(painted, lengths, strict=True)]
    return [f"╭─ {title} {'─' * (columns - len(title) - 5)}╮", *body, f"╰{'─' * (columns - 2)}╯"]


def _cells(row: Row, column: int, room: int) -> list[Row]:
    """Return the lines of one row; a long help text is wrapped."""
    name, text = row
    first, *rest = textwrap.wrap(text, max(20, room), break_on_hyphens=False) or [""]
    return [(name, first), *(("", line) for line in rest)]


def _row(flag: Flag) -> Row:
    return _names(flag), _help(flag)


def _names(flag: Flag) -> str:
    short = f"{flag.short} " if flag.short else "   "
    return " ".join(part for part in (short + flag.flag, _metavar(flag)) if part)


def _metavar(flag: Flag) -> str:
    if is_switch(flag):
        return ""
    if flag.metavar:
        return flag.metavar
    if choices(flag):
        return "NAME"
    text = str(flag.field.annotation)
    return "N" if "int" in text else "X" if "float" in text else "TEXT"


def _help(flag: Flag) -> str:
    known = choices(flag)
    listed = f": {', '.join(known)}" if known and known[0] not in flag.help else ""
    return flag.help + listed + _default(flag)


def _default(flag: Flag) -> str:
    """Return the default, or how it depends on the data or the network; nothing for what is off."""
    if flag.field.is_required():
        return "" if is_argument(flag) else "  [required]"
    if flag.follows:
        return f"  [{flag.follows}]"
    zero_is_off = isinstance(flag.default, float) or "(0:" in flag.help
    if flag.default in (None, "") or is_switch(flag) or is_repeated(flag) or (flag.default == 0 and zero_is_off):
        return ""
    return f"  [{flag.default}]"


def _placeholder(flag: Flag) -> str:
    return str(flag.metavar) if flag.field.is_required() else f"[{flag.metavar}]"


def _joined(parts: Iterable[Sequence[str]]) -> str:
    """Return the parts with an empty line between them, except between boxes."""
    lines: list[str] = []
    for part in parts:
        if part and lines and not lines[-1].startswith("╰"):
            lines.append("")
        lines += part
    return "\n".join(lines)
