"""Faults: what goes wrong inside sftdiag costs the part it happened in, never the run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from sftdiag.errors import UnhealthyRunError

logger = logging.getLogger("sftdiag")

_Result = TypeVar("_Result")


class Faults:
    """Runs the parts of sftdiag; one that raises is logged once and off for the rest of the run.

    Args:
        level: of the log line; all ranks fail alike, so one of them need say it.

    Attributes:
        off: the parts that failed.
        last: the newest error, in a line.
    """

    def __init__(self, level: int = logging.ERROR) -> None:
        self.off: set[str] = set()
        self.last = ""
        self._level = level

    def run(
        self, part: str, action: Callable[[], _Result], default: _Result, *, always: bool = False
    ) -> _Result:
        """Return what the action returns, or ``default`` when it raises or its part is off.

        Args:
            part: its name in the log.
            action: what to do.
            default: what counts where that fails.
            always: do it also where its part is off, since the other ranks wait for it.

        Raises:
            UnhealthyRunError: as the user asked with ``raise_on``.
        """
        if part in self.off and not always:
            return default
        try:
            return action()
        except UnhealthyRunError:
            raise
        except Exception as error:
            self.failed(part, error)
            return default

    def failed(self, part: str, error: BaseException) -> None:
        """Switch a part off and say so once, with what is needed to report it."""
        if part in self.off:
            return
        self.off.add(part)
        self.last = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        logger.log(
            self._level,
            "%s failed inside sftdiag and is off for the rest of this run, which goes on "
            "unchanged; please report this traceback with your trainer_state.json",
            part,
            exc_info=error,
        )


def say(level: int, text: str, *, always: bool = False) -> None:
    """Log a line; where logging is not configured, write what matters to standard error.

    A progress bar is taken off the terminal for the moment and drawn again below the line.
    """
    # Where tqdm is not loaded there is no bar; it is no dependency of ours.
    bars = sys.modules.get("tqdm")
    aside = bars.tqdm.external_write_mode(file=sys.stderr) if bars else nullcontext()
    with aside:
        if logger.hasHandlers():
            logger.log(level, text)
        elif always or level >= logging.WARNING:
            sys.stderr.write(f"sftdiag: {text}\n")
