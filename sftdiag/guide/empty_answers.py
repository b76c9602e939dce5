"""Answers that hold nothing, as a cause of a loss near 0: all that is left to learn is the end."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Weight, fix
from sftdiag.guide.from_checks import HELD_UP, check

EMPTY, LEFT_OUT = "empty-answers", "content-left-out"

CALLS = ("tool_calls", "calls_and_tools")
"""Variants of what is left out of which an answer may have consisted."""

NEARLY_ALL = 0.95
"""Share of empty answers from which no other token's loss is averaged: then they are the proof."""


def nothing_to_say(case: Case) -> Evidence | None:
    """Most answers are empty, and not for want of a template that writes them."""
    return None if calls_left_out(case) is not None else _empty(case)


def calls_left_out(case: Case) -> Evidence | None:
    """Most answers are empty, since the template does not write the calls that they are."""
    seen = check(LEFT_OUT, clean=None)(case)
    empty = _empty(case)
    if seen is None or seen.check is None or empty is None or seen.check.variant not in CALLS:
        return None
    return seen.replace(weight=empty.weight) if _share(seen) >= HELD_UP else None


def _empty(case: Case) -> Evidence | None:
    seen = check(EMPTY, clean=None)(case)
    if seen is None or seen.check is None or seen.check.severity < Severity.ERROR:
        return None
    return seen.replace(weight=Weight.CONFIRMS) if _share(seen) >= NEARLY_ALL else seen


def _share(seen: Evidence) -> float:
    """Return the share of the rows in which a check saw it."""
    found = seen.check.evidence if seen.check is not None else {}
    rows, of = found.get("rows"), found.get("seen")
    return rows / of if isinstance(rows, int) and isinstance(of, int) and of else 0.0


CAUSES = (
    CauseRule("chat-template", (calls_left_out,), (fix("write_calls"),), needs_evidence=True),
    CauseRule("poor-data", (nothing_to_say,), (fix("fill_answers"),), needs_evidence=True),
)
"""The two causes."""
