"""Words that messages share."""

from collections.abc import Iterable


def counted(count: int, noun: str) -> str:
    """Return the count with its noun: `1 class`, `2 classes`, `60,000 images`. The plural of `noun` is regular."""
    plural = noun + ("es" if noun.endswith(("s", "x", "sh", "tch")) else "s")
    return f"{count:,} {noun if count == 1 else plural}"


def enumerated(words: Iterable[str]) -> str:
    """Return the words as a list in a sentence: `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def with_article(kind: str) -> str:
    """Return the name of a type with its article: `a list`, `an int`, `bytes`."""
    if kind == "bytes":
        return kind
    return f"{'an' if kind[0].lower() in 'aeiou' or kind == 'ndarray' else 'a'} {kind}"
