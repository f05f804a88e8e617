"""Images of another kind: does the network notice them?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from resnetctl.data.cards import read_card, store_names
from resnetctl.data.splits import ImageSet, open_eval_set
from resnetctl.data.store import Store, open_store
from resnetctl.errors import ResnetctlError, UsageError
from resnetctl.hints import Setting
from resnetctl.spec import Familiar, Split
from resnetctl.system.settings import Settings
from resnetctl.tasks.judge import Judge, evenly
from resnetctl.trust.assessment import is_enough
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.strangers import BANK, NOISE, Strangers, fit_familiar, strangers

NAME = "noise"  # stands for generated images
COUNT = 1000  # images of each dataset that nobody asked for
LEAST = 20  # images of such a dataset: fewer say nothing
MOST = 5  # datasets that nobody asked for


def open_strange(
    names: Sequence[str], store: Store, *, judge: Judge, quick: bool = False
) -> dict[str, ImageSet | None]:
    """Return images of each dataset, at most `BANK` of them; None for noise.

    Without names: of up to `MOST` datasets of the store that share no class with `store`, at most `COUNT` each, and
    noise; nothing if the report shall be quick.

    Raises:
        UsageError: a named dataset has the own images.
        DataError: a named dataset is missing or damaged.
    """
    if names:
        return {name: _strange(name, store, settings=judge.settings) for name in names}
    return {} if quick else {**dict(islice(_others(store, judge), MOST)), NAME: None}


def _others(store: Store, judge: Judge) -> Iterator[tuple[str, ImageSet]]:
    """Yield datasets with images of another kind; those that this network cannot read are left out."""
    for name in store_names(judge.settings.data_dir):
        try:
            if set(read_card(judge.settings.data_dir, name).classes).isdisjoint(store.card.classes):
                images = _strange(name, store, settings=judge.settings, most=COUNT)
                if images is not None and len(images) >= LEAST:
                    judge.pixels(replace(images, index=images.index[:1]))
                    yield name, images
        except ResnetctlError:
            continue


def _strange(name: str, store: Store, *, settings: Settings, most: int = BANK) -> ImageSet | None:
    """Return images of another dataset, at most `most` of them; None for noise."""
    if name == NAME:
        return None
    other = open_store(settings.data_dir, name)
    if set(other.card.digests.values()) & set(store.card.digests.values()):
        raise UsageError(
            f"'{name}' has the images of '{store.card.name}', so they are no strangers",
            where=Setting("ood"),
            hint="another dataset, or noise",
        )
    split: Split = "test" if {"test", "val"} & set(other.splits) else "train"
    return evenly(open_eval_set(other, split, val_split=None), most)


def told_apart(
    judge: Judge,
    measured: Evidence,
    *,
    val: Evidence | None,
    images: ImageSet,
    store: Store,
    sets: Mapping[str, ImageSet | None],
) -> Iterator[Strangers]:
    """Yield how well each score tells each set from the measured images. `val` says what is familiar, or the card."""
    if not sets:
        return
    others: dict[str, Evidence] = {}
    for name, strange in sets.items():
        if strange is None:
            others |= {f"noise:{kind}": judge.noise(images, kind) for kind in NOISE}
        else:
            others[name] = judge.strangers(strange)
    if measured.features is None:
        judge.said.append("an ONNX file gives no features: the distance to the training images is left out")
    bank = (
        None
        if measured.features is None
        else judge.evidence(store, evenly(open_eval_set(store, "train", val_split=None)))
    )
    yield from strangers(measured, others, bank=bank, familiar=_familiar(judge, val, split=images.split))


def _familiar(judge: Judge, val: Evidence | None, *, split: Split) -> Familiar | None:
    """Return what the card says, else what val would write into it; None on val itself, which cannot measure it."""
    if split == "val":
        return None
    if judge.card.calibration is not None and judge.card.calibration.familiar is not None:
        return judge.card.calibration.familiar
    if val is None or val.features is None or not is_enough(val):
        return None
    return fit_familiar(val.features, val.labels)
