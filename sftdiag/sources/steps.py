"""Steps of a log that shows none: from its progress bars, its closing row, its epochs, its order.

The Trainer prints no step. It logs every ``logging_steps``, so that the rows' steps are multiples
of one number, the spacing; the epochs are proportional to them. What is known of a run's end or of
its bars gives the spacing:

- a bar redrawn behind a row stands at the row's step;
- the closing row says how long the run took and how many steps a second;
- a bar somewhere behind the last row bounds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from math import floor, inf, isfinite, log10
from typing import Any

from sftdiag.records import as_float
from sftdiag.values import Value

Event = Mapping[str, Any] | tuple[int, int]
"""A row, or a progress bar's (done, total)."""

SURVEYED_ROWS = 5000
"""Rows from which the spacing is told; a longer log repeats it."""

MOST_TOTALS = 200
"""Bars of different totals told apart: a dataset's, the training's, each evaluation's."""

LIKELY_SPACING = 10
"""Where nothing tells it: TRL's default, and the most frequent one in public logs (72 of 182)."""

BEGINS_LATE = 2.5
"""Times the epochs between two rows: a first row later than that has lost the rows before it."""

ENOUGH = 0.4
"""Share of the rows that a bar behind them must agree on: those whose bar was not redrawn, or came
out of a buffer in a lump, do not."""

PRECISION = 0.003
"""Steps a second are printed with three digits or four."""

NEAR = 0.1
"""Share of the spacing within which an evaluation is at the step of the row before it."""

TWO_PLACES = 0.01
"""How exact the epochs of older Trainers are."""

BARS, CLOSING, COUNTED = "steps_bars", "steps_closing", "steps_counted"
"""Where the steps are from: keys of notes.toml."""


class Plan(Value):
    """How rows are numbered.

    Attributes:
        spacing: steps between two train rows.
        per_epoch: steps an epoch, or None.
        total: steps planned, or None.
        end: the last step, where the log tells it.
        places: how exact its epochs are, in epochs, where they have a fixed number of places.
        source: where that is from; None where every row has its step.
        redrawn: whether a bar behind a row stands at its step.
        from_zero: whether its epochs count from 0, so that a row stands at the end of the next.
    """

    spacing: int = LIKELY_SPACING
    per_epoch: float | None = None
    total: int | None = None
    end: int | None = None
    places: float = 0.0
    source: str | None = None
    redrawn: bool = False
    from_zero: bool = False


class _Bar:
    """What was seen of the bars of one total."""

    def __init__(self, row: int) -> None:
        self.first_row = self.last_row = row
        self.last = self.falls = 0

    def add(self, done: int, row: int) -> None:
        self.falls += done < self.last
        self.last, self.last_row = done, row

    @property
    def trust(self) -> tuple[int, int]:
        """The training's goes over most rows and never back, but for a run that begins again."""
        return self.last_row - self.first_row - 3 * self.falls, -self.falls


class Survey:
    """Takes in a log's rows and bars; :meth:`plan` says how to number the rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.stepless = 0
        self.epochs: list[float | None] = []
        self._evaluated: list[float | None] = []
        self._counts = True
        self._behind: list[dict[int, int]] = []
        self._bars: dict[int, _Bar] = {}
        self._open: dict[int, int] | None = None
        self._closing: Mapping[str, Any] | None = None
        self._places = TWO_PLACES

    def add(self, event: Event) -> None:
        """Take in the next row or bar."""
        if isinstance(event, tuple):
            done, total = event
            if total not in self._bars and len(self._bars) >= MOST_TOTALS:
                return
            self._bars.setdefault(total, _Bar(self.rows)).add(done, self.rows)
            if self._open is not None:
                self._open.setdefault(total, done)
            return
        self._open = None
        if "train_runtime" in event and "loss" not in event:
            self._closing = event
            return
        self.rows += 1
        if "step" not in event:
            self.stepless += 1
        epoch = finite(event.get("epoch"))
        self._counts = self._counts and "." not in str(event.get("epoch"))
        if "loss" not in event:
            self._evaluated.append(epoch)
            return
        if epoch is not None:
            if not _two_places(epoch):
                self._places = 0.0
            if self.epochs and (self.epochs[-1] or 0.0) > epoch + exactness(epoch, self._places):
                # It began again: what it was before says nothing of where it stands.
                self.epochs, self._behind, self._closing = [], [], None
        self.epochs.append(epoch)
        self._open = {}
        self._behind.append(self._open)

    def gap(self) -> None:
        """Take in that what comes next does not follow what came."""
        self._open = None

    def plan(self, spacing: int | None = None) -> Plan:
        """Return how to number the rows; ``spacing`` is the user's word for it."""
        if not self.stepless:
            return Plan()
        if not self.epochs:
            # Evaluations alone, as a script prints them at the end of each epoch.
            self.epochs = self._evaluated
        bar = max(self._bars, key=lambda total: self._bars[total].trust, default=None)
        end = self._end(bar)
        closing = self._closing is not None and end is not None
        behind = self._behind_rows(bar) if bar is not None else None
        found, source = spacing or behind, BARS
        if found is None and end is not None:
            source = CLOSING if closing else BARS
            found = self._from_end(end, len(self.epochs)) if closing else self._bounded(bar, end)
        if found is None:
            found, source = LIKELY_SPACING, COUNTED
        per_epoch = self._per_epoch(found, end if closing else None)
        # The Trainer's are fractions: 0.0 is its first step.
        count = len(self.epochs)
        from_zero = self._counts and count > 1 and self.epochs == [*range(count)]
        redrawn = behind is not None
        return Plan(found, per_epoch, bar, end, self._places, source, redrawn, from_zero)

    def _end(self, bar: int | None) -> int | None:
        """Return the last step, exactly behind a closing row, else where the bar stands."""
        shown = self._bars[bar].last if bar is not None else None
        if self._closing is None:
            return shown
        runtime = as_float(self._closing.get("train_runtime"))
        speed = as_float(self._closing.get("train_steps_per_second"))
        if not runtime or not speed or not 0 < runtime * speed < 10**12:
            return shown
        told = runtime * speed
        if shown and abs(told - shown) <= max(1.0, 10 * PRECISION * shown):
            return shown
        return max(1, round(told))

    def _behind_rows(self, bar: int) -> int | None:
        """Return the spacing that the bars behind the rows agree on."""
        seen = [behind.get(bar) for behind in self._behind]
        pairs = pairwise(seen)
        steps = Counter(b - a for a, b in pairs if a is not None and b is not None and b > a)
        if not steps:
            first = seen[0] if seen else None
            return first if first and len(seen) == 1 else None
        spacing, agreed = steps.most_common(1)[0]
        at = [(row, done) for row, done in enumerate(seen) if done is not None]
        (row, first), (last_row, last) = at[0], at[-1]
        whole = abs(last - first - spacing * (last_row - row)) <= max(spacing, 0.2 * (last - first))
        return spacing if agreed >= ENOUGH * (len(seen) - 1) and whole else None

    def _bounded(self, bar: int | None, end: int) -> int | None:
        """Return the spacing that the last bar bounds, by the rows before it."""
        behind = [(row, done[bar]) for row, done in enumerate(self._behind) if bar in done]
        row, done = behind[-1] if behind else (len(self.epochs) - 1, end)
        epoch, each = self.epochs[row] if self.epochs else None, self._epochs_each()
        first = self.epochs[0] if self.epochs else None
        if epoch and each and first and behind and first > BEGINS_LATE * each:
            # The rows before are cut off: the bar's steps are those of its epochs.
            return max(1, round(each * done / epoch))
        return self._from_end(done, row + 1)

    def _from_end(self, end: int, count: int) -> int | None:
        """Return the spacing that puts so many rows before the end."""
        if not count or end < count:
            return None
        least, most = floor(end / (count + 1)) + 1, end // count
        epoch = finite((self._closing or {}).get("epoch"))
        each = self._epochs_each()
        if epoch and each:
            told, unsure = each * end / epoch, self._unsure
            least, most = floor(told * (1 - unsure)) + 1, floor(told * (1 + unsure))
            if least > most:
                return max(1, round(told))
        return roundest(least, most)

    @property
    def _unsure(self) -> float:
        """The relative error of the steps that the closing row tells: half its last digit."""
        speed = as_float((self._closing or {}).get("train_steps_per_second")) or 0.0
        digits = f"{speed:.10f}".rstrip("0").partition(".")[2]
        return max(PRECISION, 0.5 * 10.0 ** -len(digits) / speed) if speed > 0 else PRECISION

    def _epochs_each(self) -> float | None:
        known = [epoch for epoch in self.epochs if epoch is not None]
        if len(known) > 1 and known[-1] > known[0]:
            return (known[-1] - known[0]) / (len(known) - 1)
        return known[0] if known and known[0] > 0 else None

    def _per_epoch(self, spacing: int, end: int | None) -> float | None:
        epoch = finite((self._closing or {}).get("epoch")) if end else None
        if epoch and end:
            return end / epoch
        each = self._epochs_each()
        return spacing / each if each else None


def finite(value: object) -> float | None:
    """Return a number as float, or None where it is none or not finite."""
    number = as_float(value)
    return number if number is not None and isfinite(number) else None


def _two_places(epoch: float) -> bool:
    """Return whether an epoch is printed with two places, as older Trainers round it."""
    return abs(epoch * 100 - round(epoch * 100)) < 1e-6 * max(1.0, epoch)


def exactness(epoch: float, places: float) -> float:
    """Return how exact a printed epoch is: its last digit of four, or its last place."""
    digits = 10.0 ** (floor(log10(epoch)) - 3) if 0.0 < epoch < inf else 0.0
    return max(digits, places)


def roundest(least: int, most: int) -> int:
    """Return the roundest number of a range, and the smallest of these; the end of an empty one.

    A damaged closing row may leave millions to choose from: few of them can be it.

    Examples:
        >>> roundest(37, 64), roundest(101, 119), roundest(7, 7), roundest(9, 8)
        (50, 110, 7, 8)
    """
    powers = [10**zeros for zeros in range(len(str(most)) + 1)]
    fits = [-(-least // power) * power for power in powers]
    fits += [leading * power for power in powers for leading in (1, 2, 5, 25)]
    within = (number for number in fits if least <= number <= most)
    return max(within, key=_roundness, default=max(1, most))


def _roundness(number: int) -> tuple[int, int]:
    """Return how round a number is: people log every 10, 50 or 100 steps, rarely every 37."""
    zeros = len(str(number)) - len(str(number).rstrip("0"))
    leading = str(number).rstrip("0")
    return (zeros + (leading in ("1", "5", "2", "25")), -number)
