"""The shape of a symptom: its causes, each with the evidence that settles it, and the fixes.

A symptom module reads like a row of the guide: a table of causes, and beside each cause the small
functions that look at the run. The sentences stand in the toml file of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from sftdiag.context import RunContext
from sftdiag.findings import Detection, Scalar, Severity, Status
from sftdiag.observations import FixText as FixText
from sftdiag.observations import Observation, Outcome
from sftdiag.signals.stream import Signals
from sftdiag.values import EMPTY, Value


class Case(Value):
    """What the guide may look at: the detection, the run so far and what the checks said of it."""

    detection: Detection
    signals: Signals
    checked: Outcome = Outcome()

    @property
    def context(self) -> RunContext:
        """What is known of the run besides its log."""
        return self.signals.context

    def number(self, name: str) -> float | None:
        """Return a number of the detection's evidence, or None."""
        value = self.detection.evidence.get(name)
        return float(value) if isinstance(value, (int, float)) else None


class Weight(Enum):
    """What a piece of evidence does to a cause.

    What ``FITS`` is as it would be under the cause, and as it is in most runs without it: it is
    told, and makes nothing likely alone.
    """

    CONFIRMS = "confirms"
    SUPPORTS = "supports"
    FITS = "fits"
    AGAINST = "against"
    RULES_OUT = "rules out"
    MISSING = "missing"


class Evidence(Value):
    """One sentence, its numbers and its weight.

    The sentence is a key of ``evidence`` in the symptom's texts, or what ``check`` found, told in
    the check's own words.
    """

    weight: Weight
    key: str
    values: Mapping[str, Scalar] = EMPTY
    check: Observation | None = None


Look = Callable[[Case], Evidence | None]
"""Looks at the run for one piece of evidence; None when there is nothing to say."""

Propose = Callable[[Case], FixText | None]
"""Writes the fix in the run's own numbers, where they are known; None where it is done already."""


class CauseRule(Value):
    """A cause: where to look for evidence, and what to change.

    ``only``: the detection's variants that it can be the cause of; all where empty. ``but``: those
    that it cannot be the cause of.
    ``needs_evidence``: it is named only where a look has something to say.
    """

    id: str
    looks: tuple[Look, ...] = ()
    fixes: tuple[Propose, ...] = ()
    only: tuple[str, ...] = ()
    needs_evidence: bool = False
    but: tuple[str, ...] = ()


class Symptom(Value):
    """A row of the guide: code, name, highest severity and causes in the guide's order.

    Its texts are the toml file of its name beside this module; ``seen_by`` says what finds the
    symptom: ``"log"`` or ``"model"``.
    """

    code: str
    name: str
    severity: Severity
    causes: tuple[CauseRule, ...]
    seen_by: str = "log"


def settle(evidence: tuple[Evidence, ...]) -> Status:
    """Return a cause's status from its evidence.

    One exclusion rules it out; one proof that nothing speaks against confirms it; support without a
    counter-argument, or a proof with one, makes it likely; anything else leaves it possible, also a
    proof beside an exclusion: one of the two is none.
    """
    weights = {piece.weight for piece in evidence}
    if Weight.RULES_OUT in weights:
        return Status.POSSIBLE if Weight.CONFIRMS in weights else Status.RULED_OUT
    if Weight.CONFIRMS in weights:
        return Status.LIKELY if Weight.AGAINST in weights else Status.CONFIRMED
    if Weight.SUPPORTS in weights and Weight.AGAINST not in weights:
        return Status.LIKELY
    return Status.POSSIBLE


Rank = tuple[int, bool, bool, bool]


def rank(evidence: tuple[Evidence, ...]) -> Rank:
    """Return a sorting key for causes: the surest first, then those with support, then the rest.

    Of two alike, one with a proof comes first, then one with nothing against it.
    """
    weights = {piece.weight for piece in evidence}
    unsupported = not weights & {Weight.CONFIRMS, Weight.SUPPORTS, Weight.FITS}
    unproved = Weight.CONFIRMS not in weights
    return settle(evidence).value, unproved, unsupported, Weight.AGAINST in weights


def fix(key: str) -> Propose:
    """Return a fix that needs no number of the run."""
    return lambda case: FixText(key)


def missing(key: str) -> Look:
    """Return the note that evidence is missing and how to get it."""
    return lambda case: Evidence(Weight.MISSING, key)
