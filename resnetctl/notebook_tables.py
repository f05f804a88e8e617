"""The tables that notebooks show of cards, reports and a training. Besides `report`, no other module writes markup."""

from collections.abc import Iterable, Mapping, Sequence


def table(rows: Iterable[tuple[str, str]], *, caption: str) -> str:
    """Return a table of two columns, name and text. Escapes all text: names of files and classes come from others."""
    from html import escape  # here: its table of entities would slow every start

    lines = [f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows]
    return "\n".join(["<table>", f"<caption>{escape(caption)}</caption>", *lines, "</table>"])


def grid(rows: Sequence[Mapping[str, str]], *, caption: str) -> str:
    """Return a table with a line for each row, headed by the names in the first one. Escapes all text."""
    from html import escape

    head = "".join(f"<th>{escape(name)}</th>" for name in (rows[0] if rows else ()))
    lines = ["".join(f"<td>{escape(text)}</td>" for text in row.values()) for row in rows]
    body = [f"<tr>{line}</tr>" for line in (head, *lines)]
    return "\n".join(["<table>", f"<caption>{escape(caption)}</caption>", *body, "</table>"])
