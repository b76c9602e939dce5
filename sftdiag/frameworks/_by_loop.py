"""A hook of a framework that diagnoses its run by a Loop."""

from __future__ import annotations

from sftdiag.faults import Faults
from sftdiag.live.loop import Loop


class ByLoop:
    """What such hooks share; their events are :func:`~sftdiag.live.unharmed.unharmed`."""

    enabled: bool
    _faults: Faults
    _loop: Loop

    def _follow(self, loop: Loop) -> None:
        """Begin with a Loop that has the options; each run gets one of its own."""
        self._loop = loop
        self.enabled = loop.enabled
        self._faults = Faults()

    def _broken(self, part: str) -> None:
        self._loop.lose_sight(self._faults.last)

    def _over(self) -> None:
        self._loop.close()
