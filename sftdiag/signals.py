"""Signals: what several detectors need of the stream, computed once a record.

Constant work a record and bounded memory: the training loss is kept as at most
:data:`MAX_BLOCKS` block means, merged in pairs when full, so a run of any length is seen at a
resolution of 1/64 to 1/32 of itself; every evaluation series likewise. Non-finite values stop
here: detectors that look for them read the record, all others see finite numbers only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from math import ceil, inf, isfinite, sqrt

from sftdiag.context import RunContext
from sftdiag.records import EVAL, PROBE, SUMMARY, TRAIN, LogRecord
from sftdiag.values import Value

MAX_BLOCKS = 64
"""Enough for a trend and its noise, small enough to look at all of them when a block closes."""

MAX_EVALS = 256
"""Evaluations kept a series; nine in ten public runs have fewer than 60."""

MAX_SERIES = 64
"""Evaluation sets followed; the largest public run has 6."""

RECENT = 16
"""Raw train losses kept, for what happens between two blocks: epoch edges, evaluations."""

# 1.4826 makes a median absolute deviation a standard deviation for normal noise; a second
# difference of independent noise has sqrt(1 + 4 + 1) times its standard deviation.
_NORMAL_SCALE = 1.4826
_SECOND_DIFFERENCE_SCALE = _NORMAL_SCALE / sqrt(6)

OPENING = 40
"""Raw train losses kept from the start: learning rates that are too high show there, while the
rate climbs, and warm-ups of 3 to 10 % of the steps are over by then in most public runs."""

AUTOCORRELATION = 1.5
"""Factor on the error of a mean: lag-1 correlation of 0.4 between block means, the largest seen on
public healthy logs without length grouping, makes it 1.5 times that of independent ones."""

WINDOW_BLOCKS = 5
"""Block means averaged at least, when two parts of the run are compared."""

WINDOW_STEPS = 50
"""Optimizer steps averaged at least, where a saw-tooth must not matter: transformers groups rows by
length in mega-batches of at most 50 batches, and the loss rises and falls with each."""

WINDOW_SHARE = 8
"""Of a longer run an eighth of its blocks."""

LARGEST_LOSS = 1e300
"""Above it a sum of losses overflows; such a loss is no measurement."""

NORMAL_80 = 1.2816
"""80 % quantile of the absolute value of a normal deviate."""

UNSURE_VALUES = 8
"""The noise of few values may come out at half its size: a factor of 1.6 at 10, 1.04 at 40."""

MOVED_ACCURACY = 0.02
"""Change of token accuracy, between means or from the first record, that is more than its noise: on
labelled flat runs thirds of the log differ by up to 0.01."""

ABOVE_START = 1.15
"""Times the loss of the start above which what was learned is lost: the last windows of healthy
runs of the corpus stay below 1.0 of it, labelled blow-ups reach 1.2 to 20."""

COMPANIONS = ("grad_norm", "learning_rate", "entropy", "mean_token_accuracy")


class Block(Value):
    """The mean of consecutive train rows; companions are None where no row had them."""

    count: int
    first_step: int
    last_step: int
    loss: float
    grad_norm: float | None = None
    learning_rate: float | None = None
    entropy: float | None = None
    mean_token_accuracy: float | None = None

    def merged(self, later: Block) -> Block:
        """Return the mean of this block and the next."""
        count = self.count + later.count

        def mean(a: float | None, b: float | None) -> float | None:
            if a is None or b is None:
                return b if a is None else a
            return (a * self.count + b * later.count) / count

        loss = (self.loss * self.count + later.loss * later.count) / count
        companions = (mean(getattr(self, name), getattr(later, name)) for name in COMPANIONS)
        return Block(count, self.first_step, later.last_step, loss, *companions)


class Evaluation(Value):
    """One evaluation: its loss, and the run's state when it was made; ``number`` counts from 1.

    ``train_loss`` is the mean of the last train rows before it (the later half of those since the
    evaluation before, :data:`RECENT` / 2 at most), or None when there were none; ``train_noise``
    is the noise of that mean.
    """

    number: int
    step: int
    epoch: float | None
    loss: float
    train_loss: float | None
    train_noise: float
    learning_rate: float | None


def median(values: Sequence[float]) -> float:
    """Return the median; the mean of the middle two for an even number. Empty gives NaN."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those that are known, or None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def robust_spread(residuals: Sequence[float]) -> float:
    """Return the residuals' standard deviation from their median size, as for normal noise."""
    return _NORMAL_SCALE * median([abs(residual) for residual in residuals])


def second_differences(values: Sequence[float]) -> list[float]:
    """Return how far each value lies from the middle of its neighbours, times two."""
    return [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]


def noise_of(differences: Sequence[float]) -> float:
    """Return the noise's standard deviation from second differences; infinity for fewer than 2.

    A straight trend does not reach second differences, and their median is not reached by a few
    jumps.
    """
    return median(differences) * _SECOND_DIFFERENCE_SCALE if len(differences) > 1 else inf


def noise_scale(values: Sequence[float]) -> float:
    """Return the standard deviation of the noise around a smooth curve; infinity when unknown."""
    return noise_of(second_differences(values))


class Climb(Value):
    """How far the train loss stands above its lowest window, with the noise of a window's mean.

    ``accuracy_gain`` is the token accuracy of the last window over that of the lowest, or None.
    """

    start: float
    lowest: float
    lowest_step: int
    recent: float
    noise: float
    accuracy_gain: float | None

    @property
    def rise(self) -> float:
        """The rise from the lowest window to the last one, in the loss's unit."""
        return self.recent - self.lowest


def cautious_noise(values: Sequence[float]) -> float:
    """Return the noise's standard deviation, rather too large where it is uncertain.

    From the larger of the median and the 80 % quantile of the second differences, which noise with
    heavy or lopsided tails moves apart, and larger for few values, whose spread is ill known.
    """
    differences = sorted(second_differences(values))
    if len(differences) < 2:
        return inf
    upper = differences[int(0.8 * (len(differences) - 1))] / NORMAL_80 / sqrt(6)
    return max(noise_of(differences), upper) * unsure_factor(len(values))


def unsure_factor(values: int) -> float:
    """Return by how much to raise a noise scale that so many values gave."""
    return 1 + (UNSURE_VALUES / values) ** 2


class Signals:
    """The state of a run as far as its log goes. ``update`` is the only way in."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.objective: str | None = None
        self.records = 0
        self.train_rows = 0
        self.first_step: int | None = None
        self.last_step = 0
        self.epoch: float | None = None
        self.blocks: list[Block] = []
        self.block_losses: list[float] = []
        self.block_closed = False
        self.rewound = False
        self.last_train_step = 0
        self.evaluations: dict[str, list[Evaluation]] = {}
        self.evaluations_seen: dict[str, int] = {}
        self.learning_rate: float | None = None
        self.peak_learning_rate: float | None = None
        self.peak_learning_rate_step = 0
        self.learning_rate_rises = False
        self.first_loss: float | None = None
        self.opening: list[float] = []
        self.recent: deque[tuple[float | None, float]] = deque(maxlen=RECENT)
        self._width = 1
        self._rows_at_eval: dict[str, int] = {}
        self._loss_rows = 0
        self._summary_step: int | None = None
        self._open()

    def _open(self) -> None:
        self._count = 0
        self._block_sum = 0.0
        self._block_first = 0
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._counts = [0, 0, 0, 0]

    def update(self, record: LogRecord) -> bool:
        """Take the next record in.

        Returns:
            Whether it belongs to the run: not the closing summary, and no evaluation made
            after it.
        """
        self.block_closed = self.rewound = False
        if record.kind == PROBE:
            return True
        if record.kind == SUMMARY:
            self._summary_step = record.step
            return False
        if record.kind == TRAIN and record.step < self.last_train_step:
            self._rewind(record.step)
        elif self._summary_step is not None and record.step <= self._summary_step:
            return False
        self.records += 1
        if self.first_step is None:
            self.first_step = record.step
        self.last_step = max(record.step, self.last_step)
        if record.epoch is not None and isfinite(record.epoch):
            self.epoch = record.epoch
        if record.kind == TRAIN:
            self._update_train(record)
        elif record.kind == EVAL:
            self._update_eval(record)
        return True

    def _update_train(self, record: LogRecord) -> None:
        metrics = record.metrics
        self.train_rows += 1
        self.last_train_step = record.step
        if self.objective is None and self.train_rows <= MAX_BLOCKS:
            self.objective = record.objective()
        rate = metrics.get("learning_rate")
        if rate is not None and isfinite(rate):
            self.learning_rate_rises = self.learning_rate is not None and rate > self.learning_rate
            self.learning_rate = rate
            if self.peak_learning_rate is None or rate > self.peak_learning_rate:
                self.peak_learning_rate = rate
                self.peak_learning_rate_step = record.step
        loss = metrics["loss"]
        if record.loss_is_lost() or abs(loss) > LARGEST_LOSS:
            return
        if self.first_loss is None:
            self.first_loss = loss
        self.recent.append((record.epoch, loss))
        if len(self.opening) < OPENING:
            self.opening.append(loss)
        self._loss_rows += 1
        if self._count == 0:
            self._block_first = record.step
        self._count += 1
        self._block_sum += loss
        for index, name in enumerate(COMPANIONS):
            value = metrics.get(name)
            if value is not None and isfinite(value):
                self._sums[index] += value
                self._counts[index] += 1
        if self._count == self._width:
            self._close(record.step)

    def _close(self, step: int) -> None:
        companions = (
            total / count if count else None
            for total, count in zip(self._sums, self._counts, strict=True)
        )
        loss = self._block_sum / self._count
        self.blocks.append(Block(self._count, self._block_first, step, loss, *companions))
        self._open()
        self.block_closed = True
        if len(self.blocks) == MAX_BLOCKS:
            pairs = zip(self.blocks[::2], self.blocks[1::2], strict=True)
            self.blocks = [first.merged(second) for first, second in pairs]
            self._width *= 2
            self.block_losses = [block.loss for block in self.blocks]
        else:
            self.block_losses.append(loss)

    def _update_eval(self, record: LogRecord) -> None:
        for series, loss in record.eval_losses().items():
            if series not in self.evaluations_seen and len(self.evaluations_seen) == MAX_SERIES:
                continue
            self.evaluations_seen[series] = self.evaluations_seen.get(series, 0) + 1
            if not isfinite(loss) or abs(loss) > LARGEST_LOSS:
                continue
            train_loss, train_noise = self._train_loss_since(self._rows_at_eval.get(series, 0))
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

    def _train_loss_since(self, rows_before: int) -> tuple[float | None, float]:
        """Return the mean of the later half of the train rows since then, and its noise.

        Of RECENT rows at most; the noise is 0 where too few rows show any.
        """
        since = min(self._loss_rows - rows_before, len(self.recent))
        if since <= 0:
            return None, 0.0
        rows = [loss for _, loss in self.recent]
        later = rows[-((since + 1) // 2) :]
        # A swing is smooth, so second differences alone do not see it.
        middle = median(later)
        spread = robust_spread([row - middle for row in later])
        noise = max(noise_scale(rows), spread) / sqrt(len(later))
        return sum(later) / len(later), noise if isfinite(noise) else 0.0

    def _rewind(self, step: int) -> None:
        """Forget what a log that goes back has made void: the run was done again from there."""
        self.blocks = [block for block in self.blocks if block.last_step < step]
        self.block_losses = [block.loss for block in self.blocks]
        for series, points in self.evaluations.items():
            self.evaluations[series] = [point for point in points if point.step < step]
        if not self.blocks:
            self._width = 1
            self.first_loss = None
            self.opening.clear()
        rated = [block for block in self.blocks if block.learning_rate is not None]
        peak = max(rated, key=lambda block: block.learning_rate or 0.0, default=None)
        self.peak_learning_rate = peak.learning_rate if peak else None
        self.peak_learning_rate_step = peak.last_step if peak else 0
        self.learning_rate = None
        self._summary_step = None
        self.rewound = True
        self.last_step = step
        self.recent.clear()
        self._open()

    @property
    def max_steps(self) -> int | None:
        """Optimizer steps planned, or None."""
        return self.context.max_steps

    @property
    def progress(self) -> float | None:
        """Share of the planned steps done, or None when the plan is unknown."""
        return self.last_step / self.max_steps if self.max_steps else None

    @property
    def main_series(self) -> str | None:
        """The evaluation series behind metric_for_best_model, else eval_loss, else the first."""
        metric = self.context.metric_for_best_model or ""
        for name in (metric, f"eval_{metric}", "eval_loss"):
            if name in self.evaluations_seen:
                return name
        return next(iter(self.evaluations_seen), None)

    @property
    def main_evaluations(self) -> list[Evaluation]:
        """The points of the main series; none before its first."""
        return self.evaluations.get(self.main_series or "", [])

    def climb(self, window_steps: int = 0, least: float = 0.0) -> Climb | None:
        """Return how the last window stands against the lowest of those before it.

        Windows follow each other without a gap, counted from the last block. None while there are
        fewer than two, where the last one is no higher than the lowest, and where the lowest is
        not above 0: no likelihood is.

        Args:
            window_steps: optimizer steps that a window must span.
            least: rise as a share of the lowest below which None will do: most looks end there.
        """
        size = self.window_size(window_steps)
        if size is None:
            return None
        losses, blocks = self.block_losses, self.blocks
        count = len(losses)
        ends = range(count - size, size - 1, -size)
        means = [sum(losses[end - size : end]) / size for end in ends]
        last = losses[-size:]
        recent, lowest = sum(last) / size, min(means)
        if lowest <= 0.0 or recent <= (1.0 + least) * lowest:
            return None
        end = ends[means.index(lowest)]
        # A few odd blocks move a mean, not a median: they are spikes, not a climb.
        recent = min(recent, median(last))
        lowest = max(lowest, median(losses[end - size : end]))
        before = mean(block.mean_token_accuracy for block in blocks[end - size : end])
        after = mean(block.mean_token_accuracy for block in blocks[-size:])
        return Climb(
            start=sum(losses[:size]) / size,
            lowest=lowest,
            lowest_step=blocks[end - 1].last_step,
            recent=recent,
            noise=cautious_noise(losses) * AUTOCORRELATION / sqrt(size),
            accuracy_gain=after - before if before is not None and after is not None else None,
        )

    def window_size(self, window_steps: int = 0) -> int | None:
        """Return the blocks in a window that spans these steps; None when two do not fit."""
        count = len(self.block_losses)
        size = max(WINDOW_BLOCKS, count // WINDOW_SHARE)
        if count and window_steps:
            span = (self.blocks[-1].last_step - self.blocks[0].first_step) / count
            size = max(size, ceil(window_steps / span)) if span else size
        return size if count >= 2 * size else None

    def best_evaluation(self) -> tuple[str, Evaluation] | None:
        """Return the main series and its lowest evaluation, or None before the first."""
        series = self.main_series
        points = self.main_evaluations
        if series is None or not points:
            return None
        return series, min(points, key=lambda point: point.loss)
