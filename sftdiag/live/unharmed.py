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

    @functools.wraps(event)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        if not self.enabled:
            return
        part = event.__name__
        was_off = part in self._faults.off
        try:
            self._faults.run(part, lambda: event(self, *args, **kwargs), None)
        except UnhealthyRunError:
            self._over()
            raise
        if part in self._faults.off and not was_off:
            self._broken(part)

    return cast("_Event", wrapper)
