"""What keeps a fault of the callback from the run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sftdiag.errors import UnhealthyRunError

_Event = TypeVar("_Event", bound=Callable[..., None])


def unharmed(event: _Event) -> _Event:
    """Keep a fault of a callback's event from the run: log it once and switch that event off.

    What its ``_broken`` does then lets the report say so, and the other ranks know.
    """
    part = event.__name__

    @functools.wraps(event)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        # At every log row and more often: no more calls than it needs.
        faults = self._faults
        if not self.enabled or part in faults.off:
            return
        try:
            event(self, *args, **kwargs)
        except UnhealthyRunError:
            self._over()
            raise
        except Exception as error:
            faults.failed(part, error)
            self._broken(part)

    return cast("_Event", wrapper)
