"""Blocks: a line that names the step, and below it a line for each metric, as NeMo RL prints."""

from __future__ import annotations

import re
from typing import Any

from sftdiag.columns import tells_loss
from sftdiag.sources.console.pairs import IN_EPOCH, named

_STEP = re.compile(r"\s*[=\-#*]{3,}\s*step\s+(\d{1,12})\s*/\s*(\d{1,12})\s*[=\-#*]{3,}\s*$", re.I)
_EPOCH = re.compile(r"\s*[=\-#*]{3,}\s*epoch\s+(\d{1,6})\s*/\s*\d{1,6}\s*[=\-#*]{3,}\s*$", re.I)
_METRIC = re.compile(r"\s*[•*\-]\s*(?=[A-Za-z])")


class Block:
    """Gathers the metrics below a heading; they are a row when the next one comes.

    Examples:
        >>> block = Block()
        >>> for line in ("=== Step 3/9 ===", "  • Loss: 2.5", "  • Grad norm: 0.5"):
        ...     block.take(line)
        (True, None)
        (True, None)
        (True, None)
        >>> block.end()
        {'Loss': '2.5', 'Grad norm': '0.5', 'step': '3', 'total_steps': '9'}
    """

    def __init__(self) -> None:
        self._place: dict[str, Any] | None = None
        self._epoch: int | None = None
        self._metrics: dict[str, Any] = {}

    def take(self, line: str) -> tuple[bool, dict[str, Any] | None]:
        """Return whether a line is part of a block, and the row of the block that it ends."""
        if (epoch := _EPOCH.match(line)) is not None:
            self._epoch = int(epoch[1])
            return True, None
        if (step := _STEP.match(line)) is not None:
            row = self.end()
            self._place = {"step": step[1], "total_steps": step[2]}
            if self._epoch is not None:
                self._place = {"step": step[1], IN_EPOCH: (self._epoch, int(step[2]))}
            return True, row
        if self._place is None or _METRIC.match(line) is None:
            return False, None
        # A metric that comes again is another phase's.
        self._metrics |= {n: v for n, v in named(line).items() if n not in self._metrics}
        return True, None

    def end(self) -> dict[str, Any] | None:
        """Return the row of the block so far, or None where no loss is in it."""
        place, metrics = self._place, self._metrics
        self._place, self._metrics = None, {}
        return {**metrics, **place} if place and any(map(tells_loss, metrics)) else None
