"""Detector: sees one pattern in the stream of records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.observations import Skip as Skip
from sftdiag.records import LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals


class Detector(ABC):
    """Base class of all detectors: pure state machines over Signals and records.

    Subclasses do a constant amount of work a record and keep a bounded state. Non-finite values
    are filtered by Signals; only a detector that looks for them reads ``record.metrics``.

    Attributes:
        code: stable code of the finding.
        name: the pattern seen; never the remedy.
        severity: the highest severity it fires at.
        notes: names of its info notes: patterns that look like this fault and are normal.
        only: the one kind of record that it looks at; None: those of training and evaluation.
        seldom: few runs have what it looks at; where one has not, it is not named at all.
        evaluations_only: it says nothing of train rows, and is not shown them.
        rises_only: of train rows it is shown those only with which the learning rate rises.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    notes: ClassVar[tuple[str, ...]] = ()
    only: ClassVar[str | None] = None
    seldom: ClassVar[bool] = False
    evaluations_only: ClassVar[bool] = False
    rises_only: ClassVar[bool] = False

    _active: Detection | None = None
    """The detection that is not over, of a detector that follows one at a time."""

    @abstractmethod
    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Look at the record that ``signals`` has just taken in.

        Returns:
            What changed: patterns that fired, rose in severity, have newer numbers (the same
            severity again) or are over. Empty for almost every record.
        """

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """Return whether none of these rows could change what it says; they close no block.

        Changes nothing but what it keeps for ``take``. That follows where all detectors and the
        signals pass, before the signals take the rows in; else the rows come one by one.
        """
        return False

    def take(self, signals: Signals, rows: Rows) -> None:  # noqa: B027 - most have a state
        """Take in rows that passed, to the state in which one by one they would have left it."""

    def learned(self, signals: Signals) -> Sequence[Detection]:
        """Look at what became known of the run besides its log, such as at a resume.

        Returns:
            What that shows at once; a replay of the log shows the same later, as of the same step.
        """
        return ()

    def _end(self, step: int) -> Sequence[Detection]:
        """Return the active detection as over, and forget it; nothing when there is none."""
        active, self._active = self._active, None
        return () if active is None else (active.replace(step=step, resolved=True),)

    @abstractmethod
    def skip(self, signals: Signals) -> Skip | None:
        """Return why no judgement is possible so far, or None when it is."""


def too_few(points: int, needed: int) -> Skip | None:
    """Return that there are too few points, or None where there are not: then another reason is."""
    return Skip("few_points", {"points": points, "needed": needed}) if points < needed else None


def no_evaluations(signals: Signals) -> Skip:
    """Return why there is no evaluation loss to look at."""
    if signals.evaluations_seen:
        return Skip("evaluations_void" if signals.went_back else "eval_loss_not_finite")
    if signals.context.eval_samples == 0:
        return Skip("no_eval_rows")
    return Skip("evaluated_without_loss" if signals.evaluated_without_loss else "no_eval_loss")


def unusable_train_loss(signals: Signals) -> Skip | None:
    """Return why the training loss is no measure of learning in this log, or None."""
    if signals.objective is not None:
        return Skip(signals.objective)
    return None if signals.train_rows else Skip("no_train_loss")
