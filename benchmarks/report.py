"""Write the page of `compare.py` from its figures."""

import statistics
from collections.abc import Sequence
from typing import Any

from programs.task import PAD

OURS = "resnetctl"
QUIET = 0.15  # cores of others below which a sample counts as undisturbed
PILLOW = "Pillow, per image"
SAID = {
    "reference": "torchvision's reference loop",
    "timm": "timm",
    "lightning": "Lightning",
    "keras": "Keras 3 on torch",
    "reference with our network": "control: the reference loop with our network",
    "resnetctl with spinning threads": "control: resnetctl, OpenMP's threads spin",
}
Sample = dict[str, float]


def page(found: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    parts = [
        _head(found["about"]),
        *(_steady(arch, facts, found["variants"]) for arch, facts in found["steady"].items()),
        _epochs(found["epoch"], found["about"]),
        _inputs(found["augmentation"], found["shares"]),
        _parity(found["parity"]),
    ]
    return "\n\n".join(parts) + "\n"


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile; a single value is all three."""
    if len(values) < 2:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def spread(values: Sequence[float], form: str) -> str:
    """Return `median (lower-upper quartile)`."""
    low, middle, high = quartiles(values)
    return f"{middle:{form}} ({low:{form}}-{high:{form}})"


def _head(about: dict[str, Any]) -> str:
    return f"""# Training speed beside other programs

Made by `{about["command"]}` on {about["date"]}; do not edit.

{about["hardware"]}; {about["threads"]} threads for every program. {about["versions"]}.

Same pictures (`{about["data"]}`, decoded, in memory), same first weights, batch {about["batch"]}, fp32, pad {PAD} and
crop and mirror, SGD with momentum. The programs take turns on the same cores, {about["rounds"]} rounds of samples of at
least {about["seconds"]:g} s each; ratios are taken within a round. Everywhere: median (lower-upper quartile)."""


def _steady(arch: str, facts: dict[str, Any], variants: dict[str, str]) -> str:
    samples: dict[str, list[Sample]] = facts["samples"]
    lines = [
        f"## {arch}, steady training",
        "",
        "| program | images/s | resnetctl is faster by | images per CPU second | by CPU time | cores used by others |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(_line(name, taken, samples[OURS], variants.get(name, "")) for name, taken in samples.items()),
        "",
        _roofline(arch, facts),
    ]
    return "\n".join(lines)


def _line(name: str, taken: list[Sample], ours: list[Sample], variant: str) -> str:
    said = SAID.get(name, f"**{name}**") + (f", {variant}" if variant else "")
    columns = [said]
    for clock in ("seconds", "cpu"):
        columns.append(spread([_rate(sample, clock) for sample in taken], ",.0f"))
        columns.append("" if name == OURS else f"**{spread(_ratios(ours, taken, clock), '.2f')}**")
    columns.append(spread([sample["foreign"] for sample in taken], ".2f"))
    return "| " + " | ".join(columns) + " |"


def _roofline(arch: str, facts: dict[str, Any]) -> str:
    sgemm, copied = ([peak[kind] for peak in facts["peaks"]] for kind in ("sgemm", "copy"))
    ours = [_rate(sample, "seconds") for sample in facts["samples"][OURS]]
    share = statistics.median(ours) * facts["flops"] / 1e9 / statistics.median(sgemm)
    loads = [sample["foreign"] for taken in facts["samples"].values() for sample in taken]
    disturbed = sum(load > QUIET for load in loads)
    text = (
        f"In the same rounds a float32 matrix product of 2048 reached {spread(sgemm, '.0f')} GFLOP/s, a copy of 256 MB "
        f"{spread(copied, '.1f')} GB/s (read and written). An image of {arch} takes {facts['flops'] / 1e6:,.0f} MFLOP "
        f"in training: resnetctl reaches {share:.0%} of the matrix product."
    )
    if disturbed:
        text += (
            f"\n\n**Not a quiet machine:** during {disturbed} of {len(loads)} samples others used more than {QUIET} "
            f"cores (median of all {statistics.median(loads):.2f})."
        )
    return text


def _epochs(found: dict[str, list[float]], about: dict[str, Any]) -> str:
    lines = [
        "## The first finished epoch",
        "",
        f"Seconds from the start of the process to its end, imports included, for one epoch of {about['small']:,} "
        f"pictures, n = {len(found[OURS])}. `resnetctl train` also writes its run with weights and checkpoint; the "
        "others write nothing.",
        "",
        "| program | seconds | to resnetctl |",
        "| --- | ---: | ---: |",
    ]
    for name, taken in found.items():
        ratios = [other / ours for other, ours in zip(taken, found[OURS], strict=True)]
        ratio = "" if name == OURS else f"**{spread(ratios, '.2f')}**"
        lines.append(f"| {SAID.get(name, f'**{name}**')} | {spread(taken, '.1f')} | {ratio} |")
    return "\n".join(lines)


def _inputs(augmentation: dict[str, Any], shares: dict[str, list[float]]) -> str:
    lines = [
        "## Input pipeline",
        "",
        *(
            f"- {arch}: gather, augment and normalise take {spread(values, '.2%')} of a step, all threads."
            for arch, values in shares.items()
        ),
        "",
        "Augmentation on one core, from uint8 to the normalised batch (`augmentation.py`):",
        "",
        "| policy | way | images/s | to Pillow |",
        "| --- | --- | ---: | ---: |",
    ]
    for policy, ways in augmentation.items():
        for way, speeds in ways.items():
            ratios = [mine / other for mine, other in zip(speeds, ways[PILLOW], strict=True)]
            lines.append(f"| {policy} | {way} | {spread(speeds, ',.0f')} | {spread(ratios, '.1f')} |")
    return "\n".join(lines)


def _parity(checks: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = [
        "## Parity, before anything was timed",
        "",
        "Largest difference of a logit to resnetctl's, as a share of the largest logit; and how far moves and "
        "mirrorings of the pictures are from uniform, in standard deviations of the chi-square statistic over 162 "
        "cases.",
        "",
        "| program | arch | logits | augmentation |",
        "| --- | --- | ---: | ---: |",
    ]
    for arch, programs in checks.items():
        for name, facts in programs.items():
            said = SAID.get(name, name)
            lines.append(f"| {said} | {arch} | {facts['logits']:.1e} | {facts['augmentation']:+.1f} |")
    return "\n".join(lines)


def _rate(sample: Sample, clock: str) -> float:
    return sample["images"] / sample[clock]


def _ratios(ours: list[Sample], others: list[Sample], clock: str) -> list[float]:
    pairs = zip(ours, others, strict=True)
    return [_rate(mine, clock) / _rate(other, clock) for mine, other in pairs]
