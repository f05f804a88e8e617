"""What a person can do about an entry that cannot be used: advice as one line."""

from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain, islice
from pathlib import Path

from resnetctl.errors import own_place
from resnetctl.registry.folders import NEARBY, PROJECT, distribution_in, folder_of, folders_in, install_line
from resnetctl.registry.metadata import Entry, editable_folder, normal_name
from resnetctl.system.installed import torchvision_remedy


def remedy(entry: Entry) -> str:
    """Return what makes an entry usable whose status is `stale` or `broken`."""
    if entry.status == "broken" and ":" not in entry.value:
        return _with_colon(entry)
    if entry.status == "broken":
        return "give the entry another name in its pyproject.toml, then install it again"
    folder = source_of(entry.distribution)
    if folder is not None:
        if "requires" in entry.reason:
            return f"change the requirement in {folder / 'pyproject.toml'}, then {install_line(folder)}"
        found = folder if folder.is_dir() else moved_folder(entry.distribution, gone=folder)
        return "pip install -e ./FOLDER    with the folder where it is now" if found is None else install_line(found)
    if "requires" in entry.reason:
        return f"pip install --upgrade {entry.distribution}"
    return f"pip install --force-reinstall {entry.distribution}"


def import_remedy(entry: Entry, error: BaseException) -> str:
    """Return advice for an exception that importing the entry raised."""
    if mismatch := torchvision_remedy(error):
        return mismatch
    own, place = entry.value.partition(":")[0], own_place(error)
    missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else ""
    if missing and not f"{own}.".startswith(f"{missing}."):
        return f"{entry.distribution} needs the module '{missing}': install the distribution that provides it"
    if missing or (isinstance(error, AttributeError) and place is None):
        return f"its entry point names {entry.value}: check the spelling, and that the distribution contains it"
    folder = source_of(entry.distribution)
    if folder is not None:
        is_own = place is not None and Path(place[0]).resolve().is_relative_to(folder.resolve())
        return f"correct {place[0] if place and is_own else own}, then run the command again"
    return f"pip install --upgrade {entry.distribution}"


def _with_colon(entry: Entry) -> str:
    """Return how to write the value of an entry point that has a dot instead of the colon."""
    module, _, name = entry.value.rpartition(".")
    noun = "Class" if name[:1].isupper() else "object"
    example = f", as in {module}:{name}" if module else ""
    folder = source_of(entry.distribution)
    again = "install it again" if folder is None else install_line(folder)
    return (
        f"write module:{noun}{example}, in {'its pyproject.toml' if folder is None else folder / PROJECT}, then {again}"
    )


def source_of(name: str) -> Path | None:
    """Return the folder from which a distribution was installed with `pip install -e`, None for any other."""
    try:
        return editable_folder(distribution(name))
    except (PackageNotFoundError, ValueError):
        return None


def moved_folder(name: str, *, gone: Path) -> Path | None:
    """Return a folder that has the source of a distribution, near this folder or near the place that is gone."""
    found = folder_of(name)
    if found is not None:
        return found
    places = [place for place in (Path(), gone.parent, gone.parent.parent) if place.is_dir()]
    inner = chain.from_iterable(folders_in(place) for place in places)
    candidates = chain.from_iterable((place, place / gone.name) for place in islice(inner, NEARBY))
    return next((one for one in candidates if normal_name(distribution_in(one) or "") == normal_name(name)), None)
