"""The config of a run that waits in the queue of a group: TOML, with the origin of each value as a comment."""

from pathlib import Path

from resnetctl.config.layers import MAX_CONFIG, Layer, from_file, nest, places
from resnetctl.errors import ConfigError
from resnetctl.system import storage

MARK = "  # "


def to_text(asked: Layer) -> str:
    """Return the text of the file: one key a line, as `lr = 0.1  # flag --lr`."""
    import tomlkit

    text = tomlkit.dumps(nest(dict(asked.values)))
    lines = text.splitlines()
    for key, place in places(text, "").items():
        if key in asked.origins:
            origin = "".join(letter if letter.isprintable() else "?" for letter in asked.origins[key])
            lines[int(place.removeprefix(":")) - 1] += MARK + origin
    return "\n".join(lines) + "\n"


def from_queue(path: Path) -> Layer:
    """Return the layer of the file, with the origins in its comments. Raises `ConfigError` as `from_file`."""
    asked = from_file(path)
    lines = storage.read_capped(path, MAX_CONFIG, error=ConfigError).decode("utf-8").splitlines()
    noted = {
        key: lines[int(place.rpartition(":")[2]) - 1].rpartition(MARK)
        for key, place in asked.origins.items()
        if place != str(path)
    }
    return Layer(asked.values, {**asked.origins, **{key: origin for key, (_, mark, origin) in noted.items() if mark}})
