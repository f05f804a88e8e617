"""The options of `data add` have the defaults of the command."""

from dataclasses import replace
from typing import Any

from resnetctl.cli.parser.store_options import DataAddOptions
from resnetctl.data.storage.options import UNREADABLE, Options
from resnetctl.spec import DatasetCard, ImageSpec


def test_the_defaults_are_those_of_the_command() -> None:
    command = {name: field.default for name, field in DataAddOptions.model_fields.items()}
    own = vars(Options())
    assert own == {name: command[name] for name in own}


def of(image: ImageSpec, **fields: Any) -> DatasetCard:
    return DatasetCard(name="pets", classes=("cat", "dog"), image=image, splits={}, **fields)


def test_a_replaced_dataset_keeps_its_size_its_fit_and_its_form() -> None:
    before = of(ImageSpec(size=64, fit="pad"), storage="jpeg")
    kept = Options(replace=True).like(before)
    assert (kept.size, kept.fit, kept.storage) == (64, "pad", "jpeg")
    given = Options(replace=True, size=32, fit="squash", storage="raw")
    assert given.like(before) == given


def test_a_dataset_without_its_bad_images_is_replaced_without_them() -> None:
    noted = of(ImageSpec(size=64), notes=("no test split", f"{UNREADABLE}: 1: a.jpg"))
    asked = Options(replace=True, size=64)
    assert asked.like(noted).on_bad_image == "skip"
    assert asked.like(noted).taken_over(asked) == "without images that cannot be read"
    assert asked.like(of(ImageSpec(size=64), notes=("no test split",))) == replace(asked, fit="crop")


def test_photos_of_the_automatic_size_get_it_again() -> None:
    assert Options(replace=True).like(of(ImageSpec(size=224, resize=256))).size is None
