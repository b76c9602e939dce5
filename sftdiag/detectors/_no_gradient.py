"""Gradients of exactly 0: no label in the row, no reward that differs, nothing that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from sftdiag.findings import Scalar, Severity
from sftdiag.records import LogRecord
from sftdiag.signals.streak import Streak
from sftdiag.signals.stream import Signals
from sftdiag.signals.zeros import LEARNED

SOME, ALL = "some_zero", "all_zero"
"""The variants: in a good part of the records, in all of a log of preferences or rewards."""

LEAST_SHARE = 0.1
"""Share of the records that surely have no gradient, from which a run wastes its steps."""

Z = 3.0
"""Standard errors that "surely" is: judged at every record, 2 would be passed by chance."""

LEAST_ZEROS = 5
"""Records without a gradient, and as many with one, before their share counts."""

LEAST_SPELLS = 3
"""Times that they came and went: zeros that come and stay are another thing (SFT107, SFT101)."""

TINY = 1e-3
"""Of an ordinary gradient: smaller ones come from rows that the model knows by heart. These leave
gradients of every size down to 0, as rounding has it; rows without a label leave none but 0."""

TINY_SHARE = 0.25
"""Tiny gradients for each that is 0, from which the rows are known by heart (a healthy public log
of short answers: 15 of 180 records at 0, and 4 and more far below 1e-3)."""

KEPT = 32
"""First gradients above 0 that are kept, to say what is ordinary."""

PREFERENCE_ROWS = 3
"""Records of a preference log, all of them 0: before the first step every pair has a gradient."""

REWARD_ROWS, REWARD_STEPS = 10, 100
"""Records and steps of a reinforcement-learning log: a task that is too hard at first gives every
completion the same reward, and so no gradient, for some steps."""

Told = tuple[Severity, str, int, dict[str, Scalar]]
"""Severity, variant, onset and numbers of what was seen."""


class NoGradient:
    """Counts the finite gradients of a log, and those that are exactly 0."""

    def __init__(self) -> None:
        self.over = False
        self._all = Streak()
        self._rows = 0
        self._zeros = 0
        self._spells = 0
        self._was_zero = False
        self._tiny = 0
        self._first_zero = 0
        self._alive: list[float] = []
        self._ordinary = 0.0

    def look(self, signals: Signals, record: LogRecord, grad_norm: float) -> Told | None:
        """Take the next finite gradient in; return what it shows to be wrong, or None.

        ``over`` says afterwards that it is wrong no more.
        """
        self._rows += 1
        usual = len(self._alive) == KEPT and grad_norm >= TINY * self._ordinary
        if usual and not self._zeros and signals.objective is None:
            self._was_zero, self.over = False, True
            return None
        if grad_norm == 0.0:
            self._spells += not self._was_zero
            self._zeros += 1
            self._first_zero = self._first_zero or record.step
        elif len(self._alive) < KEPT:
            self._alive.append(grad_norm)
            self._ordinary = self._usually()
        self._was_zero = grad_norm == 0.0
        if 0.0 < grad_norm < TINY * self._ordinary:
            self._tiny += 1
        if signals.objective is not None:
            return self._throughout(signals, record, grad_norm)
        if not self._zeros:
            self.over = True
            return None
        low = self._surely()
        self.over = low < LEAST_SHARE / 2
        known = self._tiny >= TINY_SHARE * self._zeros or signals.zero == LEARNED
        if grad_norm != 0.0 or known or low < LEAST_SHARE or self._spells < LEAST_SPELLS:
            return None
        if min(self._zeros, len(self._alive)) < LEAST_ZEROS:
            return None
        numbers: dict[str, Scalar] = {"records": self._zeros, "rows": self._rows, "share_low": low}
        return Severity.WARNING, SOME, self._first_zero, numbers

    def passes(self, norms: Sequence[float]) -> bool:
        """Return whether these norms, all above 0, are those of a run that goes on as it did."""
        if len(self._alive) < KEPT:
            # What is ordinary is not known yet, but it is no more than the largest.
            return not self._zeros and min(norms) >= TINY * max(*self._alive, *norms)
        return min(norms) >= TINY * self._ordinary

    def take(self, norms: Sequence[float]) -> None:
        """Take in norms that passed."""
        self._rows += len(norms)
        self._was_zero = False
        if len(self._alive) < KEPT:
            self._alive += norms[: KEPT - len(self._alive)]
            self._ordinary = self._usually()
        self.over = not self._zeros or self._surely() < LEAST_SHARE / 2

    def _throughout(self, signals: Signals, record: LogRecord, grad_norm: float) -> Told | None:
        self.over = bool(self._alive)
        if self._alive:
            return None
        self._all.add(record.step, signals.previous_train_step)
        records, steps = self._all.records, self._all.steps
        severity, enough = Severity.ERROR, records >= PREFERENCE_ROWS
        if signals.objective == "reinforcement":
            severity = Severity.WARNING
            enough = records >= REWARD_ROWS and steps >= REWARD_STEPS
        if not enough:
            return None
        numbers: dict[str, Scalar] = {"records": records, "steps": steps, "grad_norm": grad_norm}
        return severity, ALL, self._all.onset, numbers

    def _usually(self) -> float:
        """Return the upper fifth's least: of rows known by heart the median is small, too."""
        return sorted(self._alive)[int(0.8 * (len(self._alive) - 1))]

    def _surely(self) -> float:
        """Return the lower end of the share's interval (Wilson)."""
        share, square = self._zeros / self._rows, Z * Z
        middle = share + square / (2 * self._rows)
        reach = Z * sqrt(share * (1 - share) / self._rows + square / (4 * self._rows**2))
        return (middle - reach) / (1 + square / self._rows)
