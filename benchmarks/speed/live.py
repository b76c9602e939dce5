"""What a record costs live: through a Monitor one by one, as the callback feeds it."""

from __future__ import annotations

import statistics
from time import process_time_ns

from benchmarks.speed.logs import make_rows
from sftdiag.monitor import Monitor

RECORDS = 20_000
BATCH = 20
"""Records between two readings of the clock, which is too coarse for one."""


def microseconds_a_record() -> float:
    """Return the CPU time of a record, in the median over a long run."""
    monitor, rows = Monitor(), make_rows(RECORDS)
    taken = []
    for start in range(0, len(rows) - BATCH, BATCH):
        batch = rows[start : start + BATCH]
        before = process_time_ns()
        for row in batch:
            monitor.feed_entry(row)
        taken.append((process_time_ns() - before) / BATCH / 1_000)
    return statistics.median(taken)
