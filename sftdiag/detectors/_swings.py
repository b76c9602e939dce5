"""Windows of the train loss for SFT103: how wide they swing, and what else swings with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf, log, pi, sqrt
from operator import mul

from sftdiag.context import RunContext
from sftdiag.detectors.loss_above_chance import MOST
from sftdiag.signals.noise import robust_spread
from sftdiag.vocabularies import LARGEST_VOCABULARY, SMALLEST_VOCABULARY

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


class Look:
    """A window of rows: the mean loss and its relative spread; the rest where it is asked for."""

    def __init__(self, losses: list[float], norms: Sequence[float | None]) -> None:
        self._norms = norms
        self._gradient: tuple[float | None, float | None] | None = None
        self.level = level = sum(losses) / WINDOW
        self._residuals = _detrended(losses, level)
        self.spread = robust_spread(self._residuals) / level if level else 0.0

    @property
    def crossings(self) -> int:
        """How often the residuals change sign."""
        return sum(product < 0.0 for product in map(mul, self._residuals, self._residuals[1:]))

    @property
    def gradient(self) -> tuple[float | None, float | None]:
        """The spread of the gradient norm's logarithm, and its correlation with the loss."""
        if self._gradient is None:
            self._gradient = self._found()
        return self._gradient

    def _found(self) -> tuple[float | None, float | None]:
        logs = [log(norm) for norm in self._norms if norm is not None and norm > 0.0]
        if len(logs) < WINDOW:
            return None, None
        residuals, grads = self._residuals, _detrended(logs, sum(logs) / WINDOW)
        size = sqrt(sum(map(mul, residuals, residuals), 0.0) * sum(map(mul, grads, grads), 0.0))
        correlation = sum(map(mul, residuals, grads)) / size if size else None
        return robust_spread(grads), correlation


class Past:
    """The windows before: the calmest of them and their lowest level."""

    def __init__(self) -> None:
        self._seen, self._least = 0, inf
        self._looks: deque[Look] = deque(maxlen=LOOKS)
        self.calm: Look | None = None
        self.lowest: float | None = None

    def add(self, look: Look, chance: float | None) -> None:
        """Let a window count only when no later one shares a row with it.

        Args:
            look: the window.
            chance: the loss of a blind guess, where it is known.
        """
        self._seen += 1
        if len(self._looks) == LOOKS:
            old = self._looks[0]
            if (size := _size(old, chance)) < self._least:
                self.calm, self._least = old, size
            self.lowest = old.level if self.lowest is None else min(self.lowest, old.level)
        self._looks.append(look)

    def copy(self) -> Past:
        """Return one that goes on by itself."""
        other = Past()
        other._looks, other.calm, other.lowest = self._looks.copy(), self.calm, self.lowest
        other._seen, other._least = self._seen, self._least
        return other

    def widened(self, look: Look, chance: float | None) -> bool:
        """Return whether a window's spread has grown far beyond the calmest one's."""
        # Most are calm enough without a look at how many there were.
        calm = self.calm
        if calm is None or look.spread <= LEAST:
            return False
        # A loss that came down spreads by as many nats as before, which is a larger share of it.
        size = _size(look, chance) * min(1.0, look.level / calm.level)
        least = GROWN * self._least
        return size > least and size > least * self._by_chance()

    def _by_chance(self) -> float:
        """Return how much calmer the calmest of few windows is than that of all so far."""
        windows = self._seen * EVERY / WINDOW
        if windows <= FEW_WINDOWS:
            return 1.0
        return _calmest(FEW_WINDOWS) / _calmest(windows)


class Streaks:
    """Looks in a row: wide ones, those that prove it, those around a blind guess, and calm ones."""

    __slots__ = ("guesses", "proved", "still", "wide")

    def __init__(self, wide: int = 0, proved: int = 0, guesses: int = 0, still: int = 0) -> None:
        self.wide, self.proved, self.guesses, self.still = wide, proved, guesses, still

    def tell_something(self, *, active: bool) -> bool:
        """Return whether they are enough for any finding, or for the end of the active one."""
        if self.guesses >= GUESS_LOOKS or self.proved >= LOOKS:
            return True
        return self.still >= LOOKS if active else self.wide >= LOOKS

    def after(
        self, look: Look, past: Past, context: RunContext, rate: float | None, peak: float | None
    ) -> Streaks:
        """Return them after the next look, with the learning rate at it and its peak until then."""
        wide = past.widened(look, context.chance_loss) and look.crossings >= CROSSINGS
        guess = _swings_around_a_guess(context, look)
        if not wide and not guess:
            return Streaks(0, 0, 0, self.still + 1)
        return Streaks(
            self.wide + 1 if wide else 0,
            self.proved + 1 if wide and _proves(past, look, rate, peak) else 0,
            self.guesses + 1 if guess else 0,
            0 if wide or guess else self.still + 1,
        )


_NOTHING = 1e-6
"""Share of ln V below which nothing was learned: what keeps a quotient from its pole."""

_SQUARES = WINDOW**3 - WINDOW
"""Twelve times the sum of their squares."""

_PLACES = [place - (WINDOW - 1) / 2 for place in range(WINDOW)]
"""Of a window's rows, around 0."""


def _size(look: Look, chance: float | None) -> float:
    """Return how wide a window swings, as a share of its level, or of what was learned if less.

    A blind guess costs the same on every row: rows differ by no more than the model has learned.
    """
    if chance is None or look.level > MOST * chance:
        return look.spread
    return look.spread * max(1.0, look.level / max(abs(chance - look.level), _NOTHING * chance))


def _calmest(windows: float) -> float:
    """Return the spread of the calmest of so many like windows, as a share of the usual one."""
    wide = sqrt(2 * log(windows))
    # The least of so many normal deviates, by its asymptotic expansion (Cramer).
    deviates = wide - (log(log(windows)) + log(4 * pi)) / (2 * wide)
    return max(SPREAD_NOISE, 1 - SPREAD_NOISE * deviates)


def _detrended(values: list[float], mean: float) -> list[float]:
    """Return the residuals of a window's least-squares line."""
    # By index, on names of its own: as fast as any other way in Python, and compiled in C.
    places, slope = _PLACES, 0.0
    for row in range(WINDOW):
        slope += places[row] * values[row]
    slope = slope * 12 / _SQUARES
    return [values[row] - mean - slope * places[row] for row in range(WINDOW)]


def _proves(past: Past, look: Look, rate: float | None, peak: float | None) -> bool:
    """Return whether more than the curve says that the steps are too large."""
    calm, (grad_spread, correlation) = past.calm, look.gradient
    if calm is None or correlation is None or correlation < IN_PHASE:
        return False
    before = calm.gradient[0]
    if not before or (grad_spread or 0.0) < GRAD_GROWN * before:
        return False
    if rate is not None and rate < LEAST_RATE * (peak or 0.0):
        return False
    return past.lowest is not None and look.level > past.lowest


def _swings_around_a_guess(context: RunContext, look: Look) -> bool:
    # Most windows are too calm for it, whatever their level.
    if look.spread < CHANCE_SPREAD:
        return False
    chance = context.chance_loss
    low = CHANCE_SHARE * (chance or log(SMALLEST_VOCABULARY))
    high = MOST * chance if chance else log(LARGEST_VOCABULARY)
    return low <= look.level <= high
