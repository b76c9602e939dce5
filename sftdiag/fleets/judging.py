"""Judging: from a run's path to its line; the function that every engine calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sftdiag.api import replayed
from sftdiag.config import Settings
from sftdiag.errors import SftdiagError
from sftdiag.fleets.row import Row, row_of, unreadable
from sftdiag.sources import open_run

Work = Callable[[Sequence[str], Settings], list[Row]]
"""Judges some runs, in their order."""


def judged(path: str, settings: Settings) -> Row:
    """Return a run's line; one that cannot be read, for whatever reason, has a line too."""
    try:
        run = open_run(path)
        monitor, report = replayed(run, settings)
        return row_of(run, monitor, report)
    except SftdiagError as error:
        return unreadable(path, str(error))
    except Exception as error:
        return unreadable(path, f"{path}: {type(error).__name__}: {error}")


def judged_all(paths: Sequence[str], settings: Settings) -> list[Row]:
    """Return the lines of some runs: what one task of an engine does."""
    return [judged(path, settings) for path in paths]
