"""Signals: what several detectors need of the stream, computed once a record.

Constant work a record and bounded memory: the training loss is kept as at most
:data:`~sftdiag.signals.blocks.MAX_BLOCKS` block means, every evaluation series as at most
:data:`MAX_EVALS` points. Non-finite values stop here: detectors that look for them read the record,
all others see finite numbers only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import isfinite

from sftdiag.context import RunContext
from sftdiag.records import ASIDE, EVAL, PROBE, SUMMARY, TRAIN, LogRecord, objective_of
from sftdiag.signals.blocks import MAX_BLOCKS, Block, Blocks, Columns
from sftdiag.signals.edge import Edge
from sftdiag.signals.evaluations import Evaluation, train_level
from sftdiag.signals.leap import Leap, LeapWatch
from sftdiag.signals.main_series import MainSeries
from sftdiag.signals.rows import LONGEST, Rows
from sftdiag.signals.schedule import RateRise, Schedule
from sftdiag.signals.score_fall import ScoreFall
from sftdiag.signals.scores import Scores
from sftdiag.signals.staircase import Staircase
from sftdiag.signals.zeros import NAN_KINDS, Zeros

MAX_EVALS = 256
"""Evaluations kept a series; nine in ten public runs have fewer than 60."""

MAX_SERIES = 64
"""Evaluation sets followed; the largest public run has 6."""

RECENT = 16
"""Raw train losses kept, for what happens between two blocks: epoch edges, evaluations."""

OPENING = 40
"""Raw train losses kept from the start: learning rates that are too high show there, while the
rate climbs, and warm-ups of 3 to 10 % of the steps are over by then in most public runs."""

MAX_GAPS = 64
"""Gaps of the train loss that are kept, for drawing: as many as a curve has blocks."""

FIRST_ROWS = 3
"""Rows that come one by one: each of the first may be one that a detector looks for."""

NOMINAL_STEPS = 500
"""Length of a run whose plan is not known: five times the guide's smoke test, after which a clear
fall is due, and no less than two thirds of the public runs have."""

NOMINAL_EPOCHS = 10.0
"""The same in epochs, where the rows are so few that these come first: twice the guide's most."""

ERROR_RATES = ("_wer", "_cer")
"""How transformers' names of word and character error rates end."""

BEGINS_LATE = 3
"""Times the distance of its first two train records: a log whose first one is later begins in
mid-run, unless the rate still climbs."""


class Signals(MainSeries):
    """The state of a run as far as its log goes. ``update`` is the only way in.

    Attributes:
        easy_answers: as the checks of the rows say, see :class:`~sftdiag.observations.Outcome`.
        warned: codes of the checks whose warnings, or worse, stand.
        checkpoints: the steps of those that are known to be there.
        eval_losses: the newest evaluation record's losses, by series.
        evaluated_without_loss: an evaluation was logged that holds none.
        evaluation_lost: the step of the newest evaluation, where not all its losses are finite.
        gaps: where the train loss was lost and came back: the last step before, the first after.
        rate_rise: how the learning rate was before it rose with the newest record, or None.
        first_learning_rate: the first that was logged, also where its row's loss was lost.
        row_lost: the newest train record's loss is NaN or infinite, as the record itself says.
        lost: likewise, or a 0 that hides one, going by the rows around it.
        broken_since: the first of the newest train rows in a row of which each has a loss or a
            gradient that is not finite; None where the newest has not.
        error_rates: an evaluation had a word or character error rate: speech, or reading, where a
            loss of CTC is mostly a sum over the labels.
    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.easy_answers: float | None = None
        self.warned: frozenset[str] = frozenset()
        self.checkpoints: tuple[int, ...] = ()
        self.gaps: list[tuple[int, int]] = []
        self._lost_since: int | None = None
        self.objective: str | None = None
        self.records = 0
        self.train_rows = 0
        self.first_step: int | None = None
        self.last_step = 0
        self.epoch: float | None = None
        self.block_closed = False
        self.rewound = False
        self.went_back = False
        self.last_train_step = 0
        self.previous_train_step: int | None = None
        self.begins_in_mid_run = False
        self.zero: str | None = None
        self.row_lost = self.lost = False
        self.broken_since: int | None = None
        self.error_rates = False
        self.eval_losses: Mapping[str, float] = {}
        self.evaluations: dict[str, list[Evaluation]] = {}
        self.evaluations_seen: dict[str, int] = {}
        self.evaluated_without_loss = False
        self.evaluation_lost: int | None = None
        self.learning_rate: float | None = None
        self.first_learning_rate: float | None = None
        self.peak_learning_rate: float | None = None
        self.peak_learning_rate_step = 0
        self.learning_rate_rises = False
        self.rate_rise: RateRise | None = None
        self._rate_step = 0
        self.first_loss: float | None = None
        self.opening: list[float] = []
        self.recent: deque[tuple[float | None, float]] = deque(maxlen=RECENT)
        self.staircase = Staircase()
        self.schedule = Schedule()
        self.scores = Scores()
        self.score_fall = ScoreFall()
        self.zeros = Zeros()
        self.edge = Edge()
        self.leap: Leap | None = None
        self.windows: dict[int, tuple[float, float, int]] = {}
        self._leaps = LeapWatch()
        self._blocks = Blocks()
        self._rows_at_eval: dict[str, int] = {}
        self._loss_rows = 0
        self._summary_step: int | None = None

    def update(self, record: LogRecord) -> bool:
        """Take the next record in.

        Returns:
            Whether it belongs to the run: not the closing summary, and no evaluation made
            after it, but for one without a finite loss where none was made before.
        """
        self.block_closed = self.rewound = False
        self.leap = self.rate_rise = None
        kind, step, epoch = record.kind, record.step, record.epoch
        if kind == PROBE or kind in ASIDE:
            return True
        if kind == SUMMARY:
            self._summary_step = step
            return False
        if kind == TRAIN and step < self.last_train_step:
            self._rewind(step)
        elif kind == TRAIN and step == self._summary_step:
            # A callback that evaluates the train rows logs what the closing row is called.
            self._summary_step = None
        elif self._summary_step is not None and step <= self._summary_step:
            lost = kind == EVAL and not all(map(isfinite, record.eval_losses().values()))
            if not lost or self.evaluations_seen:
                return False
        self.records += 1
        if self.first_step is None:
            self.first_step = step
        if step > self.last_step:
            self.last_step = step
        if epoch is not None:
            if isfinite(epoch):
                self.epoch = epoch
            else:
                epoch = None
        if kind == TRAIN:
            self._update_train(record, epoch)
        elif kind == EVAL:
            self.eval_losses = record.eval_losses()
            if not self.error_rates:
                self.error_rates = any(name.endswith(ERROR_RATES) for name in record.metrics)
            self._update_eval(record)
        return True

    def _update_train(self, record: LogRecord, epoch: float | None) -> None:
        metrics, step = record.metrics, record.step
        later = self.train_rows > 0 and step > self.last_train_step
        self.previous_train_step = self.last_train_step if later else None
        self.train_rows += 1
        self.last_train_step = step
        if self.objective is None and self.train_rows <= MAX_BLOCKS:
            self.objective = record.objective()
        rate = metrics.get("learning_rate")
        if rate is not None and isfinite(rate):
            last, goes_on = self.learning_rate, self.learning_rate_rises
            if last is not None and rate > last:
                peak = self.peak_learning_rate or 0.0
                self.rate_rise = RateRise(self._rate_step, last, peak, goes_on=goes_on)
            self.learning_rate_rises = self.rate_rise is not None
            self.learning_rate, self._rate_step = rate, step
            if self.first_learning_rate is None:
                self.first_learning_rate = rate
            if self.peak_learning_rate is None or rate > self.peak_learning_rate:
                self.peak_learning_rate = rate
                self.peak_learning_rate_step = step
        else:
            rate = None
        if self.train_rows == 2 and self.previous_train_step is not None:
            first = self.previous_train_step
            late = first > BEGINS_LATE * (step - first)
            self.begins_in_mid_run = late and not self.learning_rate_rises
        self.schedule.add(step, rate)
        loss, norm = metrics["loss"], metrics.get("grad_norm")
        if isfinite(loss) and (norm is None or isfinite(norm)):
            self.broken_since = None
        elif self.broken_since is None:
            self.broken_since = step
        if loss and isfinite(loss):
            self.zero, self.row_lost, self.lost = None, False, False
            self.zeros.passed(loss)
        else:
            self.row_lost = record.loss_is_lost()
            self.zero = self.zeros.add(record, self.previous_train_step, self.schedule)
            hidden = self.zero in NAN_KINDS and self.objective is None
            self.lost = hidden or self.row_lost
            if self.lost:
                if self._lost_since is None:
                    self._lost_since = self.previous_train_step
                return
        if self._lost_since is not None:
            self._end_gap(step)
        if self.first_loss is None:
            self.first_loss = loss
        self.edge.add(step, loss, metrics.get("num_tokens"))
        self.recent.append((epoch, loss))
        if epoch is not None:
            self.staircase.add(epoch, loss, step, self.recent)
        if len(self.opening) < OPENING:
            self.opening.append(loss)
        self.leap = self._leaps.look(step, loss, self.context)
        self._loss_rows += 1
        self.block_closed = self._blocks.add(record)
        if self.block_closed:
            self.windows.clear()

    def _end_gap(self, step: int) -> None:
        """Keep where the loss was lost; of more gaps than are kept the longest."""
        if self._lost_since is not None:
            self.gaps.append((self._lost_since, step))
        self._lost_since = None
        if len(self.gaps) > MAX_GAPS:
            self.gaps.remove(min(self.gaps, key=lambda gap: gap[1] - gap[0]))

    @property
    def room(self) -> int:
        """How many train rows may be taken in at once, if they pass."""
        usual = self.objective is None and self._summary_step is None
        begun = self.train_rows >= FIRST_ROWS and self.first_loss is not None
        return LONGEST if usual and begun else 0

    def passes(self, rows: Rows) -> bool:
        """Return whether none of these rows is any signal but that the run goes on."""
        epochs = rows.get("epoch")
        usual = (
            rows.steps[0] > self.last_train_step
            and (self.train_rows >= MAX_BLOCKS or objective_of(rows.names) is None)
            and self._leaps.passes(rows.high)
            and self.edge.passes(rows)
            and (epochs is None or self.staircase.passes(epochs))
        )
        if usual:
            rows.closings = self._blocks.closings(rows)
        return usual

    def take(self, rows: Rows) -> None:
        """Take in rows that passed, as if one by one."""
        self.rewound = self.row_lost = self.lost = False
        self.broken_since = None
        self.leap = self.zero = self.rate_rise = None
        if self._lost_since is not None:
            self._end_gap(rows.steps[0])
        self.block_closed = bool(rows.closings) and rows.closings[-1].rows == rows.count
        if rows.closings:
            self.windows.clear()
        self.records += rows.count
        self.train_rows += rows.count
        self._loss_rows += rows.count
        self.previous_train_step, self.last_train_step = rows.steps[-2:]
        self.last_step = max(rows.steps[-1], self.last_step)
        if (rates := rows.get("learning_rate")) is not None:
            highest = max(rates)
            if rates[-1] > rates[-2]:
                peak = max(self.peak_learning_rate or 0.0, *rates[:-1])
                goes_on = rates[-2] > rates[-3]
                self.rate_rise = RateRise(rows.steps[-2], rates[-2], peak, goes_on=goes_on)
            self.learning_rate_rises = self.rate_rise is not None
            self.learning_rate, self._rate_step = rates[-1], rows.steps[-1]
            if self.first_learning_rate is None:
                self.first_learning_rate = rates[0]
            if self.peak_learning_rate is None or highest > self.peak_learning_rate:
                self.peak_learning_rate = highest
                self.peak_learning_rate_step = rows.steps[rates.index(highest)]
        self.schedule.take(rows)
        self.zeros.take(rows)
        self.edge.take(rows)
        epochs = rows.get("epoch")
        if epochs is not None:
            self.epoch = epochs[-1]
            self.staircase.take(rows.losses)
        last = rows.losses[-RECENT:]
        of = epochs[-RECENT:] if epochs is not None else [None] * len(last)
        self.recent.extend(zip(of, last, strict=True))
        self.opening += rows.losses[: max(0, OPENING - len(self.opening))]
        self._leaps.take(rows.steps[-1], rows.count)
        self._blocks.take(rows)

    def _update_eval(self, record: LogRecord) -> None:
        losses = self.eval_losses
        if not losses and any(name.endswith("_runtime") for name in record.metrics):
            self.evaluated_without_loss = True
        self.zeros.evaluated(losses)
        if losses:
            lost = not all(map(isfinite, losses.values()))
            self.scores.take(record, losses.get("eval_loss", next(iter(losses.values()))))
            self.score_fall.take(record)
            self.evaluation_lost = record.step if lost else None
        for series, loss in losses.items():
            if series not in self.evaluations_seen and len(self.evaluations_seen) == MAX_SERIES:
                continue
            self.evaluations_seen[series] = self.evaluations_seen.get(series, 0) + 1
            if not isfinite(loss):
                continue
            since = min(self._loss_rows - self._rows_at_eval.get(series, 0), len(self.recent))
            train_loss, train_noise = train_level([loss for _, loss in self.recent], since)
            self._rows_at_eval[series] = self._loss_rows
            points = self.evaluations.setdefault(series, [])
            number = self.evaluations_seen[series]
            points.append(
                Evaluation(
                    number,
                    record.step,
                    self.epoch,
                    loss,
                    train_loss,
                    train_noise,
                    self.learning_rate,
                )
            )
            if len(points) > MAX_EVALS:
                del points[1:-32:2]

    def _rewind(self, step: int) -> None:
        """Forget what a log that goes back has made void: the run was done again from there."""
        self._blocks.rewind(step)
        self.gaps = [gap for gap in self.gaps if gap[1] < step]
        self._lost_since = None
        self.windows.clear()
        for series, points in self.evaluations.items():
            self.evaluations[series] = [point for point in points if point.step < step]
        if not self.blocks:
            self.first_loss = None
            self.opening.clear()
        rated = [block for block in self.blocks if block.learning_rate is not None]
        peak = max(rated, key=lambda block: block.learning_rate or 0.0, default=None)
        self.peak_learning_rate = peak.learning_rate if peak else None
        self.peak_learning_rate_step = peak.last_step if peak else 0
        self.learning_rate = None
        self._summary_step = self.broken_since = None
        self.rewound = self.went_back = True
        if self.first_step is not None and step <= self.first_step:
            # It begins anew, as where two runs stand in one file: that was no resume.
            self.edge = Edge()
        else:
            self.edge.went_back()
        self.last_step = step
        self.recent.clear()
        self.staircase, self.schedule, self.zeros = Staircase(), Schedule(), Zeros()
        self.scores, self.score_fall, self.evaluation_lost = Scores(), ScoreFall(), None
        self._leaps = LeapWatch()

    @property
    def columns(self) -> Columns:
        """The train loss so far in blocks, by column: what each has, oldest first."""
        return self._blocks.columns

    @property
    def blocks(self) -> list[Block]:
        """The same, one object a block."""
        return self._blocks.closed

    @property
    def block_losses(self) -> list[float]:
        """The losses of :attr:`blocks`."""
        return self._blocks.columns.losses

    @property
    def max_steps(self) -> int | None:
        """Optimizer steps planned, or None."""
        return self.context.max_steps

    @property
    def progress(self) -> float | None:
        """Share of the planned steps done, or None when the plan is unknown."""
        return self.last_step / self.max_steps if self.max_steps else None

    def share_of_plan(self, steps: int) -> float:
        """Return so many steps as a share of the plan.

        Without one, of :data:`NOMINAL_STEPS`, or of :data:`NOMINAL_EPOCHS` where that is more.
        """
        if self.max_steps:
            return min(1.0, steps / self.max_steps)
        share = steps / NOMINAL_STEPS
        if self.epoch and self.last_step:
            share = max(share, steps / self.last_step * self.epoch / NOMINAL_EPOCHS)
        return min(1.0, share)
