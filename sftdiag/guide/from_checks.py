"""Evidence from the checks before step 1: what each check says of a cause, found or not found."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, Evidence, Look, Weight
from sftdiag.observations import Observation

TRAIN = "train"

HELD_UP = 0.5
"""Share of the rows with an untrained new token, from which most of what is averaged has one."""


def check(
    name: str,
    found: Weight = Weight.SUPPORTS,
    clean: Weight | None = Weight.AGAINST,
    *,
    on_evaluation: bool = False,
) -> Look:
    """Return the look at what a check said.

    Args:
        name: the check's name.
        found: what it does to the cause when it found a warning or worse.
        clean: what it does when it could judge and found nothing; None for a check that shows one
            form of the cause among many, of which it then says nothing.
        on_evaluation: look at its findings in evaluation sets instead of the training rows.

    Another check that has not run is missing evidence, and the sentence says how to run it.
    """

    def look(case: Case) -> Evidence | None:
        seen = _worst(case, name, on_evaluation)
        if seen is not None:
            return Evidence(found, "", check=seen)
        if clean is None:
            return None
        if name in case.checked.ran:
            return Evidence(clean, "check_clean", {"check": name})
        return Evidence(Weight.MISSING, _unknown(case, name), {"check": name})

    return look


def _unknown(case: Case, name: str) -> str:
    """Return the sentence of a check that could not judge, or how it is to be run here."""
    if name in case.checked.skipped:
        return "check_skipped"
    framework = case.context.framework
    if framework is None:
        return "check_missing"
    from sftdiag.guide.dialect import OWN_LOOPS  # loads where a framework is known

    return "check_missing_in_a_loop" if framework in OWN_LOOPS else "check_missing"


def untold(case: Case, key: str, in_a_loop: str) -> str:
    """Return the sentence of what is not known of a run: a loop is asked to tell it."""
    from sftdiag.guide.dialect import TELL_THEIR_CONTEXT

    told = case.context.framework in TELL_THEIR_CONTEXT
    return in_a_loop if told else key


def observed(name: str, variant: str, weight: Weight = Weight.CONFIRMS) -> Look:
    """Return the look at one variant of what a check sees, at warning or above."""

    def look(case: Case) -> Evidence | None:
        seen = _worst(case, name, on_evaluation=False)
        if seen is None or seen.variant != variant:
            return None
        return Evidence(weight, "", check=seen)

    return look


def new_tokens_untrained(case: Case) -> Evidence | None:
    """Embeddings that stay random, in so many rows that the mean loss stands on them."""
    evidence = check("special-tokens-untrained", clean=None)(case)
    found = evidence.check.evidence if evidence is not None and evidence.check else {}
    rows, seen = found.get("rows"), found.get("seen")
    if not isinstance(rows, int) or not isinstance(seen, int) or rows < HELD_UP * seen:
        return None
    return evidence


def _worst(case: Case, name: str, on_evaluation: bool) -> Observation | None:
    """Return the gravest observation of a check in the rows asked for, or None."""
    fitting = [
        seen
        for seen in case.checked.observations
        if seen.name == name
        and seen.severity >= Severity.WARNING
        and (seen.series not in (TRAIN, "arguments")) == on_evaluation
    ]
    return max(fitting, key=lambda seen: seen.severity, default=None)
