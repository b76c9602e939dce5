"""A labelled run, as every judge in this benchmark is given it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sftdiag.context import RunContext

CODES: Mapping[str, frozenset[str]] = {
    label: frozenset(f"SFT{code}" for code in codes.split())
    for label, codes in {
        "overfitting": "201",
        "overfit": "201",
        "eval-shift": "201",
        "memorisation": "202 201",
        "oscillation": "103 104",
        "divergence": "104 103 106",
        "loss_rise": "102 104",
        "flat_loss": "101 108 111",
        "bad_labels": "111 108 101",
        "lr-low": "101",
        "frozen": "101",
        "lr_zero": "101",
        "schedule_over": "101",
        "skipped": "112 106",
        "summed": "111 204",
        "too_low": "111 202",
        "negative": "111",
        "zero_or_nan": "106 107 203",
        "mask-all": "107",
        "nan": "106",
        "spikes": "105",
        "lr-high": "103 104 106 102 109",
        "fall-then-rise": "102 104 106 109",
        "lr-jump": "116 102 104 105",
        "mask-random": "108 101",
        "mask-noise-prompt": "108 101",
        "template-misaligned": "108 101",
    }.items()
}
"""The codes that name each label."""

MAX_CUTS = 40
"""Prefixes that a judge without a stream is run on; the same for all of them."""


class Run(NamedTuple):
    """A log with its label.

    Attributes:
        name: unique within its set.
        kind: the family that a table row and a cross-validation fold is made of: the repository of
            a public run, the fault of an injected or generated one.
        label: the disease, a key of CODES, or anything else for none.
        warn: ``"yes"``, ``"no"`` or ``"either"``: should a good tool warn.
        rows: rows of log_history.
        context: what is known besides the log; no answer is in it.
        onset: the step at which the disease begins, where it is known.
        size: the effect size of a generated disease.
    """

    name: str
    kind: str
    label: str
    warn: str
    rows: list[dict[str, Any]]
    context: RunContext
    onset: int | None = None
    size: float | None = None

    @property
    def codes(self) -> frozenset[str]:
        """The codes that name this run's disease."""
        return CODES.get(self.label, frozenset())

    @property
    def last_step(self) -> int:
        """The highest step in the log."""
        return max((int(row["step"]) for row in self.rows if "step" in row), default=0)

    def cuts(self) -> list[int]:
        """Return the lengths of the prefixes to look at, in rows; denser behind the onset."""
        total = len(self.rows)
        every = max(1, total // MAX_CUTS)
        cuts = set(range(every, total, every)) | {total}
        if self.onset is not None:
            first = next((i for i, r in enumerate(self.rows) if r["step"] >= self.onset), total)
            cuts |= set(range(first, min(total, first + 64), 2))
        return sorted(cut for cut in cuts if cut > 0)


class Alarm(NamedTuple):
    """A warning or worse: its code (``"other"`` for a disease without one) and where it came."""

    code: str
    step: int


class Judgement(NamedTuple):
    """What a judge said of a run.

    Attributes:
        alarms: every code that reached a warning at any step, with the first such step.
        primary: the code it names first at the end, or None.
        error: an alarm reached an error at some step.
    """

    alarms: tuple[Alarm, ...]
    primary: str | None
    error: bool = False
