"""The verdict of a report: six sentences that a hurried reader needs."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from resnetctl.spec.dense import class_numbers
from resnetctl.wording import counted

Document = Mapping[str, Any]


def verdict(document: Document) -> list[str]:
    """Return six sentences: accuracy, weakest class, probabilities, sets, abstaining, and the other model or looks."""
    return [
        _accuracy(document),
        _weakest(document["accuracy"]),
        _probabilities(document),
        _sets(document),
        _abstaining(document),
        _comparison(document["comparison"]) if "comparison" in document else _looks(document),
    ]


def net_verdict(document: Document) -> list[str]:
    """Return sentences on a network with a head: its number, its weakest class, its worst pictures, and the looks."""
    number, images = document["primary"], counted(document["count"], f"{document['split']} image")
    ends = document["interval"]
    between = "" if ends is None else f"; the 95 % interval is {percent(ends[0])} to {percent(ends[1])}"
    name, value = short_name(document["target"]), percent(document[number] or 0)
    first = f"{name} has {number} {value} on {images} of '{document['data']}'{between}."
    return [first, *_weakest_class(document), *_worst_picture(document), _looks(document)]


def _weakest_class(document: Document) -> Iterator[str]:
    rows = document["per_class"]
    key = next(iter(class_numbers(rows)), "")
    known = sorted(((row[key], row) for row in rows if key and row[key] is not None), key=lambda entry: entry[0])
    if not known:
        return
    (low, worst), (high, best) = known[0], known[-1]
    yield (
        f"Its weakest class is '{worst['name']}' with {key} {percent(low)}, "
        f"its strongest is '{best['name']}' with {percent(high)}."
    )


def _worst_picture(document: Document) -> Iterator[str]:
    if document["worst"]:
        worst = document["worst"][0]
        key = next(name for name in worst if name != "file")
        yield f"It answers {PurePath(worst['file']).name} worst, with {key} {percent(worst[key])}."


def percent(share: float, digits: int = 1) -> str:
    """Return `91.9 %`, with a space that no line ends at."""
    return f"{100 * share:.{digits}f}\u00a0%"


def short_name(target: str) -> str:
    """Return the last folder and the name of a file: a run and its weights."""
    return "/".join(PurePath(target).parts[-2:])


def _accuracy(document: Document) -> str:
    found = document["accuracy"]
    low, high = found["interval"]
    images = counted(document["count"], f"{document['split']} image")
    name = short_name(document["target"])
    return (
        f"{name} is right on {percent(found['top1'])} of {images} of '{document['data']}'; "
        f"the 95 % interval is {percent(low)} to {percent(high)}."
    )


def _weakest(found: Document) -> str:
    known = [(place, item) for place, item in enumerate(found["per_class"]) if item["accuracy"] is not None]
    place, item = min(known, key=lambda entry: entry[1]["accuracy"])
    if item["accuracy"] == 1:
        return "It is right on every image of every class."
    wrong = [0 if other == place else count for other, count in enumerate(found["confusion"][place])]
    worst = found["per_class"][wrong.index(max(wrong))]["name"]
    return (
        f"Its weakest class is '{item['name']}', right on {percent(item['accuracy'])} of "
        f"{counted(item['count'], 'image')} and most often mistaken for '{worst}'."
    )


def _probabilities(document: Document) -> str:
    found = document["calibration"]
    says = sum(item["count"] * item["confidence"] for item in found["bins"] if item["count"]) / found["n"]
    gap = says - document["accuracy"]["top1"]
    basis = "with its temperature" if found["fitted_on"] else "without a temperature"
    if found["ece"] <= found["ece_null_95"]:
        return f"Its probabilities, {basis}, cannot be told from those of a perfectly calibrated network."
    side = "too sure of itself" if gap > 0 else "too careful"
    return (
        f"Its probabilities, {basis}, are off by {found['ece']:.3f} on average, where a perfect network would show "
        f"{found['ece_null']:.3f}; on the whole it is {side} by {abs(100 * gap):.1f} points."
    )


def _sets(document: Document) -> str:
    if not document["conformal"]:
        return "It has no prediction sets, because no val split of 100 images could choose their threshold."
    item = document["conformal"][0]
    low, high = item["coverage_range"]
    return (
        f"Sets that should hold the true class in {percent(item['level'], 0)} of cases hold it in "
        f"{percent(item['coverage'])} (expected {percent(low)} to {percent(high)}) "
        f"with {item['size']:.2f} classes on average."
    )


def _abstaining(document: Document) -> str:
    proved = [item for item in document["abstain"] if item["threshold"] is not None and item["accuracy"] is not None]
    if not document["abstain"]:
        return "It has no threshold for abstaining, for the same reason."
    if not proved:
        return f"No threshold for abstaining is proved to reach {percent(document['abstain'][0]['target'], 0)}."
    item = max(proved, key=lambda entry: float(entry["target"]))
    return (
        f"If it answers only from a probability of {item['threshold']:.3f} on, it answers {percent(item['coverage'])} "
        f"of the images and is right on {percent(item['accuracy'])} of these."
    )


def _comparison(found: Document) -> str:
    low, high = found["interval"]
    numbers = f"{100 * found['difference']:+.2f} points, 95 % interval {100 * low:+.2f} to {100 * high:+.2f}"
    name = short_name(found["other"])
    if found["verdict"] == "not distinguishable":
        smallest = f"{100 * found['smallest']:.2f} points"
        return f"It is not distinguishable from {name} ({numbers}); this test could show {smallest}."
    return f"It is {found['verdict']} than {name}: {numbers}."


def _looks(document: Document) -> str:
    looks = document["looks"]
    if looks is None:
        return "It was measured on val or on a test split without a ledger, so take no final number from here."
    if looks["models"] < 2:
        return "It is the first network that this test split has judged."
    judged = f"This test split has judged {looks['models']:,} networks"
    if looks["interval"] is None:
        return f"{judged}."
    low, high = looks["interval"]
    return f"{judged}; an interval that holds for all of them is {percent(low)} to {percent(high)}."
