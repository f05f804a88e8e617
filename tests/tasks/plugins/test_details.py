"""The facts of an object of each kind."""

import json
from typing import Annotated

import typer

from resnetctl import registry
from resnetctl.tasks.plugins.details import (
    arch_details,
    command_details,
    dataset_details,
    exporter_details,
    head_details,
    object_details,
    policy_details,
    task_details,
)


def test_arch_details_count_the_parameters() -> None:
    details = arch_details(registry.get("arch", "resnet20"))
    assert details["params_counted"] == 269_722
    assert details["counted_at"] == "10 classes, 32 px, 3 channels"
    assert "name" not in details


def test_arch_details_name_a_published() -> None:
    details = arch_details(registry.get("arch", "resnet110"))
    assert details["published"] == 0.9357
    assert details["published_on"] == "cifar10 test, 32 px, not resized"
    assert "table 6; best of 5 runs" in details["published_by"]
    assert "64,000 steps" in details["published_with"]
    assert "published" not in arch_details(registry.get("arch", "resnet10"))


def test_block_details_have_signature_source_and_summary() -> None:
    details = object_details(registry.get("block", "basic"))
    assert details["parameters"]["shortcut"] == "str = 'B'"
    assert details["source"].endswith("blocks.py")
    assert details["summary"].startswith("Two 3x3 convolutions")


def test_policy_details_describe_the_function_inside_a_partial() -> None:
    details = policy_details(registry.get("policy", "standard"))
    assert details["mirrors"] is True
    assert details["source"].endswith("policies.py")
    assert "1512.03385" in details["paper"]


def test_dataset_details_come_from_the_card() -> None:
    details = dataset_details(registry.get("dataset", "digits"))
    assert details["classes"] == [str(digit) for digit in range(10)]
    assert details["source"].endswith("digits.py")


def test_a_built_in_function_has_no_source_file() -> None:
    assert object_details(len)["source"] is None


def test_a_command_is_described_without_typers_metadata() -> None:
    def greet(name: Annotated[str, typer.Option(help="Whom")] = "you") -> None:
        """Greet somebody."""

    details = command_details(greet)
    assert details["signature"] == "(name: str = 'you') -> None"
    assert details["summary"] == "Greet somebody."


def test_an_app_is_described_by_its_help_and_its_commands() -> None:
    app = typer.Typer(help="Shelves of runs.")
    app.command("count")(lambda: None)
    app.command("empty")(lambda: None)
    details = command_details(app)
    assert (details["summary"], details["commands"]) == ("Shelves of runs.", ["count", "empty"])


def test_task_details_say_what_it_learns_from_and_what_it_answers() -> None:
    details = task_details(registry.get("task", "detect"))
    assert details["truth"] == "boxes"
    assert details["primary"] == "map50"
    assert details["outputs"]["boxes"] == "batch x detections x 4"
    assert details["source"].endswith("detect.py")


def test_head_details_have_the_arguments_of_build() -> None:
    class Head:
        name, task, summary = "mine", "segment", "one line"

        def build(self, backbone: object, *, classes: int, image: object, levels: int = 3) -> None:
            """Return the network."""

    details = head_details(Head())
    assert details["parameters"]["levels"] == "int = 3"
    assert (details["task"], details["summary"], details["fits_anchors"]) == ("segment", "one line", False)


def test_every_kind_with_a_function_describes_every_object_of_the_core() -> None:
    for kind, row in registry.KINDS.items():
        if not row.details:
            continue
        describe = registry.resolve(row.details)
        for name in registry.names(kind):
            if ":" not in name and not registry.distribution_of(kind, name):
                facts = describe(registry.get(kind, name))
                json.dumps(facts)
                assert facts.get("summary") or kind == "arch", (kind, name)


def test_an_exporter_is_described_by_its_class_and_summary() -> None:
    details = exporter_details(registry.get("exporter", "triton"))
    assert details["source"].endswith("triton.py")
    assert details["summary"] == registry.get("exporter", "triton").summary


def test_a_group_of_commands_lists_them() -> None:
    app = typer.Typer(help="Do things.\n\nMore.")
    app.command("second")(lambda: None)
    app.command("first")(lambda: None)
    details = command_details(app)
    assert (details["summary"], details["commands"]) == ("Do things.", ["first", "second"])
    assert details["source"].endswith("test_details.py")


def test_parameters_are_written_as_in_a_signature() -> None:
    def build(image: int, *sizes: int, width: float = 0.5, **others: str) -> None:
        """Build.

        More words.
        """

    details = object_details(build)
    assert details["parameters"] == {"image": "int", "sizes": "int", "width": "float = 0.5", "others": "str"}
    assert details["summary"] == "Build."
