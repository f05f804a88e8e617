"""The conformance kit: rules for plugins, for their own tests and for the verb `plugins check`.

This is the whole test of a plugin::

    from resnetctl.testing import conformance

    test_conformance = conformance("my-distribution")

`check_block`, `check_arch`, `check_policy`, `check_optimizer`, `check_schedule`, `check_objective`, `check_dataset` and
`check_exporter` take an object and return findings.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from resnetctl.testing.findings import Finding

if TYPE_CHECKING:
    from resnetctl.spec import Arch, Objective, Optimizer, Policy, Schedule

__all__ = [
    "Finding",
    "check_arch",
    "check_block",
    "check_dataset",
    "check_exporter",
    "check_objective",
    "check_optimizer",
    "check_policy",
    "check_schedule",
    "conformance",
]


def check_block(block: type, **block_args: Any) -> list[Finding]:
    """Apply every rule to a block class. Takes about five seconds, mostly for ONNX.

    Args:
        block: the class, not an instance.
        block_args: arguments that replace the block's defaults.

    Returns:
        One finding for each rule, in a fixed order.
    """
    from resnetctl.testing.blocks import bound
    from resnetctl.testing.kit import check_object

    return check_object("block", bound(block, block_args))


def check_arch(arch: "Arch") -> list[Finding]:
    """Apply every rule to an arch; its block must be registered."""
    from resnetctl.testing.kit import check_object

    return check_object("arch", arch)


def check_policy(policy: "Policy") -> list[Finding]:
    """Apply every rule to a policy."""
    from resnetctl.testing.kit import check_object

    return check_object("policy", policy)


def check_optimizer(optimizer: "Optimizer") -> list[Finding]:
    """Apply every rule to an optimizer: the function that makes it from parameter groups."""
    from resnetctl.testing.kit import check_object

    return check_object("optimizer", optimizer)


def check_schedule(schedule: "Schedule") -> list[Finding]:
    """Apply every rule to a learning-rate schedule."""
    from resnetctl.testing.kit import check_object

    return check_object("schedule", schedule)


def check_objective(objective: "Objective") -> list[Finding]:
    """Apply every rule to an objective: a function of logits and targets."""
    from resnetctl.testing.kit import check_object

    return check_object("objective", objective)


def check_dataset(dataset: Any, source: Path | None = None) -> list[Finding]:
    """Apply every rule to a dataset. Without `source`, rules that need a download are skipped.

    `source` is your own copy of its files; `dataset.fetch` gets it.
    """
    from resnetctl.testing.kit import check_object

    return check_object("dataset", dataset, source=source)


def check_exporter(exporter: Any) -> list[Finding]:
    """Apply every rule to an exporter. Takes about eight seconds, mostly for ONNX."""
    from resnetctl.testing.kit import check_object

    return check_object("exporter", exporter)


def conformance(distribution: str) -> Callable[..., None]:
    """Return a pytest function with one case for each rule and each entry of an installed distribution.

    Raises:
        UsageError: no distribution with entry points for resnetctl has this name.
        PluginError: its folder is here, and it is not installed.
    """
    import pytest

    from resnetctl.testing import kit

    cases = [(entry, rule) for entry in kit.select(distribution) for rule in kit.all_rules(entry.kind)]

    @pytest.mark.parametrize(("entry", "rule"), cases, ids=[f"{kit.title(entry)}-{rule}" for entry, rule in cases])
    def test(entry: Any, rule: str) -> None:
        finding = kit.judge_entry(entry, rule)
        if finding.status == "skipped":
            pytest.skip(finding.seen)
        assert finding.ok, str(finding)

    return cast("Callable[..., None]", test)
