"""Losses that repeat to the last digit from epoch to epoch: no weight behind them has moved."""

from __future__ import annotations

from collections import deque
from itertools import islice
from operator import eq

from sftdiag.records import LogRecord
from sftdiag.signals.rows import Rows

LONGEST_EPOCH = 512
"""Rows of an epoch that are kept to be compared with the next one's."""

EQUAL_ROWS = 5
"""Rows in a row that must equal those of the epoch before: logs hold four digits or more, and two
losses of one batch differ in the third as soon as a weight moves, so that five agree by chance once
in 10**10 rows."""

DISTINCT = 3
"""Different losses among them: a loss that stands still in every row repeats itself, too."""

LEAST_LOSS = 0.01
"""Below it four decimals are two digits, and memorised rows agree."""


class Repeats:
    """Compares each row with the one an epoch before."""

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=LONGEST_EPOCH)
        self._rows_per_epoch = 0
        self._equal: deque[float] = deque(maxlen=EQUAL_ROWS)
        self._rows = 0

    def passes(self, rows: Rows) -> bool:
        """Return whether none of these rows repeats the one an epoch before."""
        epochs = rows.get("epoch")
        if epochs is None:
            return len(self._equal) < EQUAL_ROWS
        lag, kept = self._rows_per_epoch, len(self._losses)
        if max(epochs) <= 1.0:
            return len(self._equal) < EQUAL_ROWS
        if min(epochs) <= 1.0 or not (lag <= kept or lag > kept + rows.count):
            return False
        if not 0 < lag <= kept:
            return len(self._equal) < EQUAL_ROWS
        earlier = [*islice(self._losses, kept - lag, None), *rows.losses]
        return not any(map(eq, rows.losses, earlier))

    def take_all(self, rows: Rows) -> None:
        """Take in rows that passed."""
        epochs = rows.get("epoch")
        if epochs is None:
            return
        self._rows += rows.count
        if epochs[-1] <= 1.0:
            self._rows_per_epoch = self._rows
        elif 0 < self._rows_per_epoch <= len(self._losses):
            self._equal.clear()
        self._losses.extend(rows.losses)

    def take(self, record: LogRecord) -> bool:
        """Take in a train row; return whether the epoch before is being repeated."""
        loss, epoch = record.metrics["loss"], record.epoch
        if epoch is None:
            return False
        self._rows += 1
        equal, losses = self._equal, self._losses
        if epoch <= 1.0:
            self._rows_per_epoch = self._rows
        elif 0 < self._rows_per_epoch <= len(losses):
            if loss == losses[-self._rows_per_epoch] and loss > LEAST_LOSS:
                equal.append(loss)
            else:
                equal.clear()
        losses.append(loss)
        return len(equal) == EQUAL_ROWS and len(set(equal)) >= DISTINCT
