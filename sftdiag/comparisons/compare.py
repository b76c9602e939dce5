"""compare and assert_no_worse: runs on disk held against a baseline."""

from __future__ import annotations

import os

from sftdiag.comparisons.outcome import WORSE, Comparison, compared
from sftdiag.errors import ConfigError
from sftdiag.signals.course import Course, course_of
from sftdiag.sources import open_run

NOISE = "noise"
"""The tolerance that needs no number: what noise and another seed explain."""


def compare(
    baseline: str | os.PathLike[str], *runs: str | os.PathLike[str]
) -> tuple[Comparison, ...]:
    """Hold runs against a baseline, beyond the noise of both.

    Args:
        baseline: what :func:`sftdiag.analyze` takes as a path.
        runs: likewise.

    Returns:
        A comparison a run, in their order.

    Raises:
        SourceError: a log cannot be read.
    """
    first, *others = courses(baseline, *runs)
    return tuple(compared(first, course) for course in others)


def courses(*runs: str | os.PathLike[str]) -> list[Course]:
    """Return the series of runs on disk.

    Raises:
        SourceError: a log cannot be read.
    """
    read = [open_run(path) for path in runs]
    return [course_of(run.path, run.entries, run.context) for run in read]


def assert_no_worse(
    run: str | os.PathLike[str],
    *,
    baseline: str | os.PathLike[str],
    tolerance: str | float = NOISE,
    lang: str = "en",
) -> Comparison:
    """Assert that a run is no worse than a baseline.

    Args:
        run: what :func:`sftdiag.analyze` takes as a path.
        baseline: likewise.
        tolerance: ``"noise"``, or a share by which the deciding loss may be higher besides, such as
            0.02.
        lang: language of the message.

    Returns:
        The comparison, when the run passes.

    Raises:
        AssertionError: it is worse; the message is the comparison.
        SourceError: a log cannot be read.
        ConfigError: the tolerance is neither ``"noise"`` nor a share of 0 or more.
    """
    # pytest shows the test and the comparison, not this function.
    __tracebackhide__ = True
    given = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if tolerance != NOISE and not (given and float(tolerance) >= 0.0):
        raise ConfigError(f'tolerance must be "noise" or a share of 0 or more, got {tolerance!r}')
    (found,) = compare(baseline, run)
    decisive = found.of(found.decided_by or "")
    tolerated = given and decisive is not None and decisive.change <= float(tolerance)
    if found.outcome == WORSE and not tolerated:
        from sftdiag.report.comparison import render

        raise AssertionError(render(found, lang).rstrip("\n"))
    return found
