"""Measuring: what a whole process takes, and how sure a ratio is."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

OK = (0, 1)
"""Exit codes of a tool that has judged a log."""


class Used(NamedTuple):
    """Seconds of CPU and of the clock, and the peak of memory in MiB; of it and its children."""

    cpu: float
    wall: float
    peak: float


class Ratio(NamedTuple):
    """A median with its 95 % interval."""

    middle: float
    low: float
    high: float


def used(
    command: Sequence[str],
    limit: float = 600.0,
    cores: int = 1,
    environment: Mapping[str, str] | None = None,
) -> Used | None:
    """Return what a process takes on so many cores; None where it fails or passes the limit."""
    start = time.perf_counter()
    process = os.posix_spawnp(
        command[0],
        list(command),
        os.environ if environment is None else environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    _pin(process, cores)
    end = threading.Timer(limit, os.kill, (process, 9))
    end.start()
    _, status, usage = os.wait4(process, 0)
    end.cancel()
    if os.waitstatus_to_exitcode(status) not in OK:
        return None
    # In KiB on Linux, in bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    elapsed = time.perf_counter() - start
    return Used(usage.ru_utime + usage.ru_stime, elapsed, usage.ru_maxrss / unit)


def _pin(process: int, cores: int) -> None:
    if sys.platform == "linux":
        usable = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process, usable[-cores:])


def must(found: Used | None, command: Sequence[str]) -> Used:
    """Return what was measured of our own.

    Raises:
        SystemExit: it failed.
    """
    if found is None:
        raise SystemExit(f"{' '.join(command)} failed")
    return found


def medians(found: Sequence[Used]) -> Used:
    """Return the median of each measure."""
    return Used(*(median(values) for values in zip(*found, strict=True)))


def ratio(values: Sequence[float]) -> Ratio:
    """Return the median and the 95 % interval of it from order statistics."""
    ordered, n = sorted(values), len(values)
    reach = math.ceil(0.98 * math.sqrt(n))
    low, high = max(0, n // 2 - reach), min(n - 1, n // 2 + reach)
    return Ratio(ordered[n // 2], ordered[low], ordered[high])
