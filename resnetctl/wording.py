"""Words that messages share."""


def counted(count: int, noun: str) -> str:
    """Return the count with its noun: `1 class`, `2 classes`, `60,000 images`. The plural of `noun` is regular."""
    plural = noun + ("es" if noun.endswith(("s", "x", "sh", "tch")) else "s")
    return f"{count:,} {noun if count == 1 else plural}"
