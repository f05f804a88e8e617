"""Rules, their findings, and how a table of rules is applied to one object.

A rule is a function of the object. It returns what it saw, e.g. `"12 shapes"`, or raises: `Broken` when the object
breaks the rule, `Skipped` when this machine cannot judge it. Any other exception comes from the object: broken, too.
"""

import contextlib
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from resnetctl.errors import own_line

SEED = 0  # the kit is deterministic: a rule that fails once fails always


class Broken(Exception):
    """The rule does not hold; the text is the value seen."""


class Skipped(Exception):
    """The rule cannot be judged on this machine; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule: what it wants, in a few words, how to judge it, and what an author does when it fails."""

    wants: str
    judge: Callable[[Any], str]
    fix: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one rule on one object.

    Attributes:
        subject: e.g. `block se_basic`.
        rule: name of the rule.
        seen: the value seen.
        fix: what to do; empty unless the rule failed.
        place: the object's own line that raised, e.g. `blocks.py:57`; empty unless one did.
    """

    subject: str
    rule: str
    status: Literal["ok", "failed", "skipped"]
    seen: str
    fix: str = ""
    place: str = ""

    @property
    def ok(self) -> bool:
        """Whether the rule did not fail. A skipped rule did not."""
        return self.status != "failed"

    def __str__(self) -> str:
        """Return one line, with the fix of a failed rule."""
        place = f" (at {self.place})" if self.place else ""
        return f"{self.subject}: {self.rule}: {self.seen}{place}" + (f". Fix: {self.fix}" if self.fix else "")


ESSENTIAL = ("signature", "shapes")  # an object that breaks one of these breaks others, which tells nothing new


def judge(subject: str, name: str, *, rule: Rule, thing: Any) -> Finding:
    """Apply one rule. Whatever the object raises, the result is a finding."""
    try:
        with _calm():
            seen = rule.judge(thing)
    except Skipped as reason:
        return Finding(subject=subject, rule=name, status="skipped", seen=str(reason))
    except Broken as broken:
        return Finding(subject=subject, rule=name, status="failed", seen=str(broken), fix=rule.fix)
    except (Exception, SystemExit) as error:
        seen = f"{type(error).__name__}: {_first_line(error)}"
        return Finding(subject=subject, rule=name, status="failed", seen=seen, fix=rule.fix, place=own_line(error))
    return Finding(subject=subject, rule=name, status="ok", seen=seen)


def judge_all(subject: str, rules: Mapping[str, Rule], *, thing: Any) -> list[Finding]:
    """Apply every rule of a table, in its order.

    After a broken essential rule the rest is skipped, and so is a rule that fails at a line that failed before.
    """
    findings: list[Finding] = []
    raised: dict[str, str] = {}
    spoilt = ""
    for name, rule in rules.items():
        if spoilt:
            findings.append(Finding(subject=subject, rule=name, status="skipped", seen=f"judged once {spoilt} holds"))
            continue
        finding = judge(subject, name, rule=rule, thing=thing)
        first = raised.setdefault(finding.place, name) if finding.place else name
        if first != name:
            finding = replace(finding, status="skipped", seen=f"it raises, as under {first}", fix="")
        spoilt = name if name in ESSENTIAL and not finding.ok else ""
        findings.append(finding)
    return findings


def expect(holds: bool, seen: str) -> None:
    """Raise `Broken` with the value seen unless `holds`."""
    if not holds:
        raise Broken(seen)


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Fix seeds and silence warnings; afterwards, restore torch's random state, dtype and threads."""
    torch = sys.modules.get("torch")
    if torch is None:  # rules of importing judge facts only
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


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
