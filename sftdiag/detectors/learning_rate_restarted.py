"""SFT110 learning-rate-restarted: the learning rate goes through its schedule a second time.

What a resume from a checkpoint without optimizer.pt or scheduler.pt looks like: transformers loads
the weights and the step, and begins schedule and optimizer anew. Sees it in the logged rate alone,
which has no noise: within one record it leaves its course, down to where a warm-up begins or up to
where the run began, and the next rows repeat the run's first ones to a thousandth of the peak. Two
rows are enough where the scheduler is known and never rises after its peak. Where it is unknown,
four rows of a second warm-up, or a course that until then was the line or half cosine to the
planned end. Live the optimizer and the scheduler that the trainer resumed with say, before the
first step, whether they have a state: that is proof, and an error where a linear or cosine decay to
0 was planned whose second run is still at a tenth of the peak, or above, at the planned end.

Cannot see a restart of a rate that stays constant from the first record on, nor one in a log that
begins later or goes back. Says nothing of schedules that rise by themselves (cosine_with_restarts,
greedy, one of the user's own), of a run that goes on after its planned end, and of a resume with
another learning rate, batch or other rows, which is a new part of the run.

>>> from sftdiag.context import RunContext
>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor(RunContext(lr_scheduler_type="linear"))
>>> for step in range(1, 201):
...     done = step if step <= 100 else step - 100
...     rate = 1e-4 * min(done / 20, (200 - done) / 180)
...     row = {"step": step, "loss": 2.0 * 0.99**step, "learning_rate": rate}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
102 SFT110 warning 100

References:
    transformers' Trainer, _load_optimizer_and_scheduler: both files or neither are loaded.
    Gupta et al. (2023, arXiv 2308.04014): warming up again raises the loss.
    Hoffmann et al. (2022, arXiv 2203.15556), Bergsma et al. (2025, arXiv 2502.15938): decays end at
    a tenth of the peak, or at 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, isfinite
from operator import sub

from sftdiag.detectors._course import Course, Rate, heads_for
from sftdiag.detectors._planned_end import HIGH_END, planned_end
from sftdiag.detectors.base import Detector, Skip
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

PLATEAU = "reduce_lr_on_plateau"
"""Rises in no case but a restart: it knows neither a warm-up nor the planned steps."""

NEVER_RISES = frozenset(
    {
        PLATEAU,
        *("linear", "cosine", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"),
        *("cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay"),
    }
)
"""Schedulers that never rise after their peak: all of transformers' SchedulerType but
cosine_with_restarts, which does, and greedy, which may. But for the plateau's, a resume that plans
more steps, and with them a longer warm-up, moves the rate up or down."""

LEAST_MOVE = 0.02
"""Share of the peak that the rate leaves its course by: a smaller step back does little."""

SUDDEN = 2.0
"""Times the move before: a smooth schedule's moves grow by less than that between two records, but
for the first few."""

ROWS_KNOWN = 2
"""Rows of a second warm-up where the scheduler never rises: one that climbs is one too many."""

ROWS_UNKNOWN = 4
"""The same where it may be any: three equal steps up, as in the first warm-up."""

ROWS_COURSE = 3
"""Rows of any second course: the step it began anew at fits one of them, two are left to agree."""

VISIBLE = 5.0
"""Times what it may differ by that the rate has moved since: a run that was given more steps jumps
up, too, and then falls more slowly."""

AT_END = 0.05
"""Share of the peak below which a schedule may have ended: what follows was planned afresh."""

BEFORE = 8
"""Rows before the restart that show where the schedule was heading."""


SINCE = 32
"""Rows kept since the jump; every second is let go when full."""

RESUMED, RESUMED_DECAY = "resumed", "resumed_decay"
"""The variants that fire on what the trainer resumed with; the second knows what was planned."""


class LearningRateRestartedDetector(Detector):
    """Fires once, and may rise with a second resume; what is lost does not come back."""

    code: ClassVar[str] = "SFT110"
    name: ClassVar[str] = "learning-rate-restarted"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self) -> None:
        self._fired: Severity | None = None
        self._resumed_until = -1
        self._rows = 0
        self._course = Course()
        self._before: deque[Rate] = deque(maxlen=BEFORE)
        self._since: list[Rate] = []
        self._since_rows = 0
        self._start: int | None = None
        self._climbs = True

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN:
            return ()
        known = signals.context.lost_state_steps
        if known and (found := self._resumed_without_state(signals, record.step - 1)):
            return found
        rate = record.metrics.get("learning_rate")
        if self._fired is not None or rate is None or not isfinite(rate) or rate < 0.0:
            return ()
        self._rows += 1
        row = Rate(record.step, rate)
        if not self._since and not self._leaves(row, signals):
            self._go_on(row)
            return ()
        return self._look(row, signals)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        if signals.context.lost_state_steps:
            return False
        rates = rows.get("learning_rate")
        if self._fired is not None or rates is None:
            return True
        if self._since or len(self._before) < 2:
            return False
        least = LEAST_MOVE * (signals.peak_learning_rate or 0.0)
        earlier, last = self._before[-2].rate, self._before[-1].rate
        moves = [*map(abs, map(sub, [last, *rates], [earlier, last, *rates]))]
        if max(moves[1:]) <= least:
            return True
        return all(move <= max(least, SUDDEN * before) for before, move in pairwise(moves))

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        rates = rows.get("learning_rate")
        if self._fired is None and rates is not None:
            self._rows += rows.count
            self._course.extend(rows.steps, rates)
            self._before.extend(map(Rate, rows.steps[-BEFORE:], rates[-BEFORE:]))

    def learned(self, signals: Signals) -> Sequence[Detection]:
        """See :meth:`Detector.learned`."""
        return self._resumed_without_state(signals, inf)

    def _resumed_without_state(self, signals: Signals, until: float) -> Sequence[Detection]:
        """Fire for the resumes that found no state and lie in this part of the run, once each."""
        first = signals.first_step
        lost = signals.context.lost_state_steps
        if not lost or first is None:
            return ()
        found: list[Detection] = []
        for step in lost:
            if max(first, self._resumed_until + 1) <= step <= until:
                self._resumed_until = step
                found += self._resumed(signals, step)
        return found

    def _resumed(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Fire for a resume, or let what fired rise."""
        before = [*self._before, *self._since]
        seen: dict[str, Scalar] = {"rate_before": before[-1].rate if before else None}
        severity, variant = Severity.WARNING, RESUMED
        end = planned_end(signals.context, step)
        if end is not None:
            variant = RESUMED_DECAY
            seen |= {"planned_step": end.step, "highest_share": end.highest, "end_share": end.rate}
            seen |= {"scheduler": signals.context.lr_scheduler_type}
            if end.rate >= HIGH_END:
                severity = Severity.ERROR
        if self._fired is not None and severity <= self._fired:
            return ()
        return self._fire(step, step, seen, variant, severity)

    def _leaves(self, row: Rate, signals: Signals) -> bool:
        """Return whether the rate jumps off its course with this row."""
        peak = signals.peak_learning_rate
        if len(self._before) < 2 or not peak:
            return False
        earlier, last = self._before[-2], self._before[-1]
        least = LEAST_MOVE * peak
        if abs(row.rate - last.rate) <= least:
            return False
        least = max(least, SUDDEN * abs(last.rate - earlier.rate))
        if abs(row.rate - last.rate) <= least or not self._course.is_known:
            return False
        scheduler = signals.context.lr_scheduler_type
        return scheduler is None or scheduler in NEVER_RISES

    def _look(self, row: Rate, signals: Signals) -> Sequence[Detection]:
        """Follow the rows since the jump until they are, or are not, those of a second start."""
        rows, last, peak = self._since, self._before[-1], signals.peak_learning_rate or 0.0
        rows.append(row)
        self._since_rows += 1
        if self._start is None or not self._course.repeats(self._start, (row,), peak):
            self._start = self._course.repeated_from(last.step, rows, peak)
        self._climbs = self._climbs and (len(rows) < 2 or rows[-2].rate < row.rate)
        if self._start is None:
            return self._let_go()
        down = rows[0].rate < last.rate
        sure = self._course.sure_of(self._start, rows, peak)
        second_warm_up = down and self._climbs and self._is_second_warm_up(sure, signals)
        if second_warm_up or self._is_second_course(sure, signals):
            seen = {
                "rate_before": last.rate,
                "rate_after": rows[0].rate,
                "rows": self._since_rows,
                "learning_rate": row.rate,
                "peak_learning_rate": peak,
            }
            return self._fire(row.step, self._start, seen, "down" if down else "up")
        if len(rows) == SINCE:
            del rows[1::2]
        return ()

    def _let_go(self) -> Sequence[Detection]:
        for row in self._since:
            self._go_on(row)
        self._since, self._since_rows, self._start, self._climbs = [], 0, None, True
        return ()

    def _is_second_warm_up(self, sure: Sequence[tuple[Rate, float]], signals: Signals) -> bool:
        if signals.context.lr_scheduler_type in NEVER_RISES:
            return len(sure) >= ROWS_KNOWN
        # A saw-tooth of the user's own climbs until it drops.
        climbed = self._before[-1].rate > self._before[-2].rate
        return len(sure) >= ROWS_UNKNOWN and _has_moved(sure) and not climbed

    def _is_second_course(self, sure: Sequence[tuple[Rate, float]], signals: Signals) -> bool:
        scheduler = signals.context.lr_scheduler_type
        if len(sure) < ROWS_COURSE:
            return False
        if scheduler == PLATEAU:
            return self._since[0].rate > self._before[-1].rate
        if not _has_moved(sure):
            return False
        peak = signals.peak_learning_rate or 0.0
        surely_before_end = heads_for(signals.max_steps, self._before, peak)
        known = scheduler is not None and self._before[-1].rate > AT_END * peak
        return known or surely_before_end

    def _go_on(self, row: Rate) -> None:
        self._course.add(row)
        self._before.append(row)

    def _fire(
        self,
        step: int,
        onset: int,
        seen: Mapping[str, Scalar],
        variant: str,
        severity: Severity = Severity.WARNING,
    ) -> Sequence[Detection]:
        self._fired = severity
        evidence = {"restart_step": onset, **seen}
        return (
            Detection(
                self.code,
                self.name,
                severity,
                step,
                onset,
                "learning_rate",
                evidence,
                variant=variant,
            ),
        )

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if self._fired is not None:
            return None
        if not self._rows:
            return Skip("no_learning_rate")
        if self._course.is_known:
            return None
        return Skip("rates_void" if signals.went_back else "no_first_rates")


def _has_moved(sure: Sequence[tuple[Rate, float]]) -> bool:
    """Return whether the rates have moved by far more than they may differ by."""
    rates = [row.rate for row, _ in sure]
    return max(rates) - min(rates) >= VISIBLE * max(may_differ for _, may_differ in sure)
