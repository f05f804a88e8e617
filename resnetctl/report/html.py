"""HTML for reports. No other module writes markup."""

from collections.abc import Iterable
from html import escape


def table(rows: Iterable[tuple[str, str]], *, caption: str) -> str:
    """Return a table of two columns, name and text. Escapes all text: names of files and classes come from others."""
    lines = [f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows]
    return "\n".join(["<table>", f"<caption>{escape(caption)}</caption>", *lines, "</table>"])
