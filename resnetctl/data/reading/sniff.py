"""Choose the reader for a path: folder, archive or table."""

from pathlib import Path

from resnetctl.data.reading.archive import open_archive, sniff
from resnetctl.data.reading.folder import open_folder
from resnetctl.data.reading.source import Source, expected
from resnetctl.data.reading.table import open_table
from resnetctl.errors import DataError
from resnetctl.system.plain_files import expanded


def open_source(path: Path) -> Source:
    """Return the counted source at `path`: a folder, an archive or a CSV file. Raises `DataError` for other files."""
    path = expanded(path)
    if path.is_dir():
        return open_folder(path)
    if not path.is_file():
        raise DataError("this is not a plain file" if path.exists() else "no such file or folder", where=str(path))
    try:
        kind = sniff(path)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if kind is not None:
        return open_archive(path, kind)
    if path.suffix.lower() == ".csv":
        return open_table(path)
    raise DataError(
        "neither a folder, nor a .tar, .tar.gz, .tar.xz or .zip archive, nor a CSV file",
        where=str(path),
        hint=expected(),
    )
