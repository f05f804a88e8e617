"""Rules, findings, and functions that apply a table of rules to one object.

A rule is a function of the object; its docstring states the rule. It returns the observed value, e.g. `"12 shapes"`. It
raises `Broken` if the object breaks the rule, and `Skipped` if this machine cannot judge it. Any other exception comes
from the object, and also means that the rule is broken.
"""

import contextlib
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from resnetctl.errors import ResnetctlError, own_line

SEED = 0  # the kit is deterministic: a rule that fails once always fails


class Broken(Exception):
    """The rule does not hold; the text is the observed value, and `place` the line of the object's code, if known.

    `fix` is the advice for this value, where the rule has several causes; empty for the rule's own.
    """

    def __init__(self, seen: str, *, place: str = "", fix: str = "") -> None:
        super().__init__(seen)
        self.place, self.fix = place, fix


class Skipped(Exception):
    """The rule cannot be judged on this machine; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        wants: the required behaviour, in a few words.
        judge: the function that checks it.
        fix: advice for the plugin's author if it fails.
        together: checks several objects at once, where that is much faster; returns a value for each. If it raises,
            each object is judged alone.
    """

    wants: str
    judge: Callable[[Any], str]
    fix: str
    together: Callable[[Sequence[Any]], Sequence[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one rule on one object.

    Attributes:
        subject: e.g. `block se_basic`.
        rule: name of the rule.
        seen: the observed value.
        fix: advice for the author; empty unless the rule failed.
        place: the line of the object's code that raised or broke the rule, e.g. `mine/blocks.py:57`; empty if unknown.
    """

    subject: str
    rule: str
    status: Literal["ok", "failed", "skipped"]
    seen: str
    fix: str = ""
    place: str = ""

    @property
    def ok(self) -> bool:
        """Whether the rule holds or was skipped."""
        return self.status != "failed"

    def __str__(self) -> str:
        """Return one line, with the fix of a failed rule."""
        place = f" (at {self.place})" if self.place else ""
        if not self.fix:
            return f"{self.subject}: {self.rule}: {self.seen}{place}"
        return f"{self.subject}: {self.rule}: {self.seen.removesuffix('.')}{place}. Fix: {self.fix}"


REFUSALS = ("ConfigError: ", "UsageError: ", "PluginError: ")  # begin what is seen when resnetctl refuses an object
MISTAKES = (NameError, AttributeError, ImportError, KeyError, TypeError, AssertionError, NotImplementedError)
PRUNING = "pruning"  # the rule whose value tells what `compress` can do with a block
NAMED = 4  # skipped rules in one line
ESSENTIAL = ("signature", "shapes", "input")  # if one of these fails, later rules fail for the same reason


def judge(subject: str, name: str, *, rule: Rule, target: Any) -> Finding:
    """Apply one rule to `target`. Any exception of the object becomes a finding."""
    try:
        with _calm():
            seen = rule.judge(target)
    except Skipped as reason:
        return Finding(subject=subject, rule=name, status="skipped", seen=str(reason))
    except Broken as broken:
        fix = broken.fix or rule.fix
        return Finding(subject=subject, rule=name, status="failed", seen=str(broken), fix=fix, place=broken.place)
    except (Exception, SystemExit) as error:
        seen, fix, place = _seen(error), _fix(rule, error), own_line(error)
        return Finding(subject=subject, rule=name, status="failed", seen=seen, fix=fix, place=place)
    return Finding(subject=subject, rule=name, status="ok", seen=seen)


def judge_together(rules: Mapping[str, Rule], targets: Sequence[Any]) -> list[dict[str, str]]:
    """Apply the rules that judge several objects at once. Return the observed values by rule for each target.

    A rule that does not hold for all of them gives no values, because it does not say which object breaks it.
    """
    seen: list[dict[str, str]] = [{} for _ in targets]
    for name, rule in rules.items():
        if rule.together is None or len(targets) < 2:
            continue
        with contextlib.suppress(Exception, SystemExit), _calm():
            for values, value in zip(seen, rule.together(targets), strict=True):
                values[name] = value
    return seen


def judge_all(
    subject: str, rules: Mapping[str, Rule], *, target: Any, seen: Mapping[str, str] | None = None
) -> list[Finding]:
    """Apply every rule of a table, in its order.

    After an essential rule fails, the later ones are skipped. A rule is also skipped if it fails at the line of the
    object's code where an earlier one failed, or if resnetctl refuses the object with the same error.

    Args:
        seen: the observed values of the rules that are known to hold, by rule.
    """
    known = seen or {}
    findings: list[Finding] = []
    raised: dict[str, str] = {}
    failed = ""  # the essential rule that failed
    for name, rule in rules.items():
        if failed:
            findings.append(Finding(subject=subject, rule=name, status="skipped", seen=not_judged(failed)))
            continue
        if name in known:
            findings.append(Finding(subject=subject, rule=name, status="ok", seen=known[name]))
            continue
        finding = judge(subject, name, rule=rule, target=target)
        cause = finding.place or (finding.seen if finding.seen.startswith(REFUSALS) else "")
        first = raised.setdefault(cause, name) if cause else name
        if first != name:
            finding = replace(finding, status="skipped", seen=f"it raises the same error as in rule {first}", fix="")
        failed = name if name in ESSENTIAL and not finding.ok else ""
        findings.append(finding)
    return findings


def notes(findings: Sequence[Finding]) -> list[str]:
    """Return what a summary by counts does not tell, as lines: what can be pruned, and which rules were skipped."""
    lines = [f"{one.subject}: {PRUNING}: {one.seen}" for one in findings if one.rule == PRUNING and one.status == "ok"]
    skipped: dict[tuple[str, str], list[str]] = {}
    for one in findings:
        if one.status == "skipped":
            skipped.setdefault((one.subject, one.seen), []).append(one.rule)
    for (subject, reason), rules in skipped.items():
        names = ", ".join(rules) if len(rules) <= NAMED else f"{', '.join(rules[:NAMED])} and {len(rules) - NAMED} more"
        lines.append(f"{subject}: skipped {names}: {reason}")
    return lines


def not_judged(failed: str) -> str:
    """Return the reason to skip a rule after the rule `failed`."""
    return f"not judged, because {failed} fails"


def expect(holds: bool, seen: str, *, fix: str = "") -> None:
    """Raise `Broken` with the observed value, and the advice for it, unless `holds`."""
    if not holds:
        raise Broken(seen, fix=fix)


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Set seeds and silence warnings; afterwards, restore random states, torch's default dtype and threads."""
    torch = sys.modules.get("torch")
    if torch is None:  # import rules only compare facts, and must not load torch
        yield
        return
    dtype, threads, state = torch.get_default_dtype(), torch.get_num_threads(), random.getstate()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(SEED)
        random.seed(SEED)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)
            random.setstate(state)


def _seen(error: BaseException) -> str:
    """Return an exception as one line; an error of resnetctl with its problems."""
    if isinstance(error, ResnetctlError):
        text = "; ".join([error.headline, *error.problems])
    else:
        text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"


def _fix(rule: Rule, error: BaseException) -> str:
    """Return the advice for an exception: the rule's own only if the rule can be the reason."""
    if isinstance(error, MISTAKES) and own_line(error):
        return "correct this line: it fails before the rule can be judged"
    hints = error.hint if isinstance(error, ResnetctlError) else ()
    return "; ".join([*(hint for hint in hints if isinstance(hint, str)), rule.fix])
