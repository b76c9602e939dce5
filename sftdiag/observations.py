"""What checks say before step 1, free of any language: Observation, Skip, Outcome.

They hold numbers, codes and setting names only, never text of a row, so that they may be written
beside a run's log (``_sftdiag/preflight.json``) and be told later in any language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sftdiag.findings import RowsSeen, Scalar, Severity
from sftdiag.values import EMPTY, Value

UNREAD = "unread"
"""The key of what the model was asked as well, and did not tell either."""

UNTOLD = ("no_shared_words", "few_evaluated")
"""Keys of what the rows do not tell: whose answers they have, which no curve shows later. A verdict
of "healthy" is told with that beside it."""


class Skip(Value):
    """Why something could not be judged: a key of ``skipped`` in its texts, and its numbers."""

    key: str
    values: Mapping[str, Scalar] = EMPTY


class FixText(Value):
    """A fix: a key of ``fixes`` in the unit's texts, its numbers and the settings it changes."""

    key: str
    values: Mapping[str, Scalar] = EMPTY
    changes: Mapping[str, tuple[Scalar, Scalar]] = EMPTY


class Observation(Value):
    """What a check found.

    Attributes:
        code: stable code, such as ``"SFT401"``.
        name: the check's name, such as ``"no-supervised-token"``.
        severity: how much it matters here.
        cause: id of the cause that it confirms.
        series: what was looked at: ``"train"``, the name of an evaluation set, or ``"arguments"``.
        variant: which of the check's sentences tells it.
        evidence: the numbers behind it, by name.
        fixes: what to change.
        example: index of a sample of the split that shows it, or None.
        step: the optimizer step after which it was looked at; 0 is before the first.
        ranks: the ranks that saw it in their rows, where others did not; empty means all.
    """

    code: str
    name: str
    severity: Severity
    cause: str
    series: str = "train"
    variant: str = "default"
    evidence: Mapping[str, Scalar] = EMPTY
    fixes: tuple[FixText, ...] = ()
    example: int | None = None
    step: int = 0
    ranks: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What it is about: seen again with this key it is the same, or worse."""
        return self.code, self.series


class Outcome(Value):
    """What the checks said of a run.

    Attributes:
        observations: what was found.
        ran: names of the checks that could judge.
        skipped: names of those that could not, each with the reason.
        rows: how many rows they looked at.
        easy_answers: share of the training rows whose answer stands in the prompt or is one of a
            few short ones, so that it can cost next to nothing; None when unknown.
    """

    observations: tuple[Observation, ...] = ()
    ran: tuple[str, ...] = ()
    skipped: Mapping[str, Skip] = EMPTY
    rows: tuple[RowsSeen, ...] = ()
    easy_answers: float | None = None

    def until(self, step: int) -> Outcome:
        """Return this outcome without what was looked at after a step."""
        return self.replace(observations=tuple(o for o in self.observations if o.step <= step))

    def beyond(self, earlier: Outcome) -> Outcome:
        """Return what this outcome says that an earlier one did not, or said to be less severe."""
        told: dict[tuple[str, str], Severity] = {}
        for seen in earlier.observations:
            told[seen.key] = max(seen.severity, told.get(seen.key, seen.severity))
        looked_at = {rows.split for rows in earlier.rows}
        return self.replace(
            observations=tuple(
                o for o in self.observations if o.key not in told or o.severity > told[o.key]
            ),
            rows=tuple(rows for rows in self.rows if rows.split not in looked_at),
        )

    def located(self, other: Outcome) -> Outcome:
        """Return this outcome with the ranks that another one names for the same observations."""
        known = {(o.key, o.step, o.severity): o.ranks for o in other.observations}
        return self.replace(
            observations=tuple(
                o.replace(ranks=known.get((o.key, o.step, o.severity), o.ranks))
                for o in self.observations
            )
        )

    def joined(self, later: Outcome) -> Outcome:
        """Return both outcomes as one; a check that ran in either is not skipped."""
        ran = tuple(dict.fromkeys((*self.ran, *later.ran)))
        skipped = {**self.skipped, **later.skipped}
        seen = {(o.key, o.step): o for o in self.observations}
        seen.update({(o.key, o.step): o for o in later.observations})
        return Outcome(
            tuple(seen.values()),
            ran,
            {name: skip for name, skip in skipped.items() if name not in ran},
            (*self.rows, *later.rows),
            later.easy_answers if self.easy_answers is None else self.easy_answers,
        )


def over_ranks(outcomes: Sequence[Outcome]) -> Outcome:
    """Return what any rank saw, the most severe of the same, with the ranks that saw it.

    Args:
        outcomes: what the checks said on each rank, of its own rows.

    Examples:
        >>> masked = Observation("SFT401", "no-supervised-token", Severity.ERROR, "mask")
        >>> joined = over_ranks([Outcome(), Outcome((masked,))])
        >>> [(seen.code, seen.ranks) for seen in joined.observations]
        [('SFT401', (1,))]
        >>> over_ranks([Outcome((masked,))] * 2).observations[0].ranks
        ()
    """
    seen: dict[tuple[str, str], Observation] = {}
    ranks: dict[tuple[str, str], list[int]] = {}
    for rank, outcome in enumerate(outcomes):
        for found in outcome.observations:
            ranks.setdefault(found.key, []).append(rank)
            if found.key not in seen or found.severity > seen[found.key].severity:
                seen[found.key] = found
    everywhere = len(outcomes)
    ran = tuple(dict.fromkeys(name for outcome in outcomes for name in outcome.ran))
    first = outcomes[0]
    return Outcome(
        tuple(
            found.replace(ranks=() if len(ranks[key]) == everywhere else tuple(ranks[key]))
            for key, found in seen.items()
        ),
        ran,
        {name: skip for name, skip in first.skipped.items() if name not in ran},
        first.rows,
        first.easy_answers,
    )
