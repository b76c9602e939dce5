"""SFT103 loss-oscillation: the training loss swings, and more than the data make it.

Looks at the last 32 train rows, detrended by a straight line. Their spread, as a share of the loss,
is compared with the calmest such window before: swings that have grown to three times of it, and
have lasted for a second window, are told as info. A curve alone proves nothing, since other data
spread wider too; it becomes a warning only with evidence beyond the curve: the gradient norm swings
in phase with the loss and has grown with it, while the rate is no small part of its peak and the
loss is no lower than it was. A loss that swings around what a blind guess costs is the other case:
a guess is steady, so the model is thrown from one wrong answer to another.

The note ``length-grouping`` says that the loss follows a saw-tooth of 50 optimizer steps, as
transformers' grouping by length makes it: normal, and often taken for a swing.

Cannot see a swing that is there from the first rows and below a blind guess (length grouping, batch
size 1 and a rate that is too high look alike), nor one that is faster than the log's interval.

>>> from math import sin
>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 201):
...     wave = sin(step * 0.7) * (0.3 if step > 100 else 0.01)
...     row = {"step": step, "loss": 2.0 + 2 * wave, "grad_norm": 1.0 + 2 * wave}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
152 SFT103 info 121
200 SFT103 warning 121

References:
    Cohen et al. (2021, arXiv 2103.00065): losses of healthy runs are not monotone on short scales,
    so an oscillation alone is no fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import log, pi, sqrt
from operator import mul
from typing import ClassVar

from sftdiag.detectors._saw_tooth import SawTooth
from sftdiag.detectors.base import Detector, Skip, too_few, unusable_train_loss
from sftdiag.detectors.loss_above_chance import MOST
from sftdiag.findings import Detection, Severity
from sftdiag.ranges import LARGEST_VOCABULARY, SMALLEST_VOCABULARY
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.noise import robust_spread
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

WINDOW = 32
"""Train rows looked at: two to five turns of a swing of 6 to 14 rows, and a correlation of 0.6 in
so many independent rows comes by chance once in 3,000 looks."""

EVERY = 8
"""Rows between two looks."""

LOOKS = WINDOW // EVERY + 1
"""Looks in a row that must show it: two windows without a common row."""

GUESS_LOOKS = 3
"""The same around a blind guess, where the level says most of it."""

GROWN = 3.0
"""Spread over the calmest window's: noise whose size changes over a healthy run does so by 2."""

FEW_WINDOWS = 50
"""Windows the calmest of which GROWN was set against; of more it is calmer by chance."""

SPREAD_NOISE = 0.2
"""Relative standard deviation of a spread that the median size of 32 residuals gives."""

LEAST = 0.05
"""Spread as a share of the loss below which nobody sees a swing."""

IN_PHASE = 0.6
"""Correlation of the residuals of the loss and of the gradient norm's logarithm."""

GRAD_GROWN = 1.5
"""Spread of the gradient norm's logarithm over the calmest window's."""

LEAST_RATE = 0.1
"""Share of the peak learning rate below which the steps are too small to throw the model."""

CROSSINGS = 4
"""Times that the residuals change sign: a bend of the curve does so twice."""

CHANCE_SHARE = 0.8
"""Level over ln V from which the loss is that of a blind guess."""

CHANCE_SPREAD = 0.1
"""Spread around a blind guess: real guesses spread by 1 % in labelled flat runs."""


class _Look(Value):
    """A window: mean loss, relative spread, sign changes; the gradient's spread, correlation."""

    level: float
    spread: float
    crossings: int
    grad_spread: float | None
    correlation: float | None


class LossOscillationDetector(Detector):
    """Info when the swing has grown, a warning with evidence; resolves when it is calm again."""

    code: ClassVar[str] = "SFT103"
    name: ClassVar[str] = "loss-oscillation"
    severity: ClassVar[Severity] = Severity.WARNING
    notes: ClassVar[tuple[str, ...]] = ("length-grouping",)

    def __init__(self) -> None:
        self._saw_tooth = SawTooth()
        self._rows: deque[tuple[int, float, float | None]] = deque(maxlen=WINDOW)
        self._since = 0
        self._looks = 0
        self._past: deque[_Look] = deque(maxlen=LOOKS)
        self._calm: _Look | None = None
        self._lowest: float | None = None
        self._wide = self._proved = self._guesses = self._still = 0

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN or signals.objective is not None or signals.loss_is_lost(record):
            return ()
        note = self._saw_tooth.note(self.code, signals, record)
        grad_norm = record.finite("grad_norm")
        self._rows.append((record.step, record.metrics["loss"], grad_norm))
        self._since += 1
        if len(self._rows) < WINDOW or self._since < EVERY:
            return note
        self._since = 0
        look = _look(self._rows)
        if look.level <= 0.0:
            return note
        found = self._judge(signals, record.step, look)
        self._remember(look)
        return [*note, *found] if note else found

    def _remember(self, look: _Look) -> None:
        """Let a window count as the calm before only when no later one shares a row with it."""
        self._looks += 1
        if len(self._past) == self._past.maxlen:
            old = self._past[0]
            if self._calm is None or old.spread < self._calm.spread:
                self._calm = old
            self._lowest = old.level if self._lowest is None else min(self._lowest, old.level)
        self._past.append(look)

    def _judge(self, signals: Signals, step: int, look: _Look) -> Sequence[Detection]:
        calm = self._calm
        wide = (
            calm is not None
            and look.crossings >= CROSSINGS
            and look.spread > max(LEAST, GROWN * calm.spread * self._by_chance())
        )
        self._wide = self._wide + 1 if wide else 0
        self._proved = self._proved + 1 if wide and self._proves(signals, look) else 0
        self._guesses = self._guesses + 1 if _swings_around_a_guess(signals, look) else 0
        if self._active is not None:
            self._still = 0 if wide or self._guesses else self._still + 1
            if self._still >= LOOKS:
                return self._end(step)
        if self._guesses >= GUESS_LOOKS:
            return self._fire(signals, step, look, Severity.WARNING, "guess")
        if self._proved >= LOOKS:
            return self._fire(signals, step, look, Severity.WARNING, "default")
        if self._wide >= LOOKS and self._active is None:
            return self._fire(signals, step, look, Severity.INFO, "curve")
        return ()

    def _by_chance(self) -> float:
        """Return how much calmer the calmest of few windows is than that of all so far."""
        windows = self._looks * EVERY / WINDOW
        if windows <= FEW_WINDOWS:
            return 1.0
        return _calmest(FEW_WINDOWS) / _calmest(windows)

    def _proves(self, signals: Signals, look: _Look) -> bool:
        """Return whether more than the curve says that the steps are too large."""
        calm, rate = self._calm, signals.learning_rate
        if calm is None or look.correlation is None or look.correlation < IN_PHASE:
            return False
        if not calm.grad_spread or (look.grad_spread or 0.0) < GRAD_GROWN * calm.grad_spread:
            return False
        if rate is not None and rate < LEAST_RATE * (signals.peak_learning_rate or 0.0):
            return False
        return self._lowest is not None and look.level > self._lowest

    def _fire(
        self, signals: Signals, step: int, look: _Look, severity: Severity, variant: str
    ) -> Sequence[Detection]:
        if self._active is not None and self._active.severity >= severity:
            return ()
        rate, peak = signals.learning_rate, signals.peak_learning_rate
        first = self._active.onset_step if self._active is not None else self._rows[0][0]
        self._active = Detection(
            self.code,
            self.name,
            severity,
            step,
            first,
            "loss",
            {
                "loss": look.level,
                "spread": look.spread,
                "spread_before": self._calm.spread if self._calm is not None else None,
                "correlation": look.correlation,
                "peak_learning_rate": peak,
                "rate_share": rate / peak if peak and rate is not None else None,
                "chance_loss": signals.context.chance_loss,
            },
            variant=variant,
        )
        self._still = 0
        return (self._active,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        if (unusable := unusable_train_loss(signals)) is not None:
            return unusable
        return too_few(signals.train_rows, WINDOW)


def _calmest(windows: float) -> float:
    """Return the spread of the calmest of so many like windows, as a share of the usual one."""
    wide = sqrt(2 * log(windows))
    # The least of so many normal deviates, by its asymptotic expansion (Cramer).
    deviates = wide - (log(log(windows)) + log(4 * pi)) / (2 * wide)
    return max(SPREAD_NOISE, 1 - SPREAD_NOISE * deviates)


def _look(rows: Sequence[tuple[int, float, float | None]]) -> _Look:
    losses = [loss for _, loss, _ in rows]
    residuals = _detrended(losses)
    level = sum(losses) / len(losses)
    spread = robust_spread(residuals) / level if level else 0.0
    crossings = sum(product < 0.0 for product in map(mul, residuals, residuals[1:]))
    logs = [log(norm) for _, _, norm in rows if norm is not None and norm > 0.0]
    if len(logs) < len(rows):
        return _Look(level, spread, crossings, None, None)
    grads = _detrended(logs)
    size = sqrt(sum(map(mul, residuals, residuals)) * sum(map(mul, grads, grads)))
    correlation = sum(map(mul, residuals, grads)) / size if size else None
    grad_spread = robust_spread(grads)
    return _Look(level, spread, crossings, grad_spread, correlation)


_PLACES = [place - (WINDOW - 1) / 2 for place in range(WINDOW)]
"""Of a window's rows, around 0."""


def _detrended(values: Sequence[float]) -> list[float]:
    """Return the residuals of a window's least-squares line."""
    mean = sum(values) / WINDOW
    slope = sum(map(mul, _PLACES, values)) * 12 / (WINDOW**3 - WINDOW)
    return [value - mean - slope * place for value, place in zip(values, _PLACES, strict=True)]


def _swings_around_a_guess(signals: Signals, look: _Look) -> bool:
    chance = signals.context.chance_loss
    low = CHANCE_SHARE * (chance or log(SMALLEST_VOCABULARY))
    high = MOST * chance if chance else log(LARGEST_VOCABULARY)
    return low <= look.level <= high and look.spread >= CHANCE_SPREAD
