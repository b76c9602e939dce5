"""Lines below a heading: of a step, a metric each; of an epoch, a split each.

Of a step NeMo RL prints such, and Composer (llm-foundry), whose learning rate of four decimals is
none; of an epoch tutorials do.
"""

from __future__ import annotations

import re
from typing import Any

from sftdiag.columns import canonical, tells_loss
from sftdiag.sources.console.pairs import IN_EPOCH, named, of_an_epoch

_STEP = re.compile(
    r"\s*(?:\d+:\s*)?(?:[=\-#*]{3,}\s*step\s+(\d{1,12})\s*/\s*(\d{1,12})\s*[=\-#*]{3,}"
    r"|(?:\[epoch=[\d/]{1,12}\])?\[batch=(\d{1,12})/(\d{1,12})\]:)\s*$",
    re.I,
)
_EPOCH = re.compile(r"\s*[=\-#*]{3,}\s*epoch\s+(\d{1,6})\s*/\s*\d{1,6}\s*[=\-#*]{3,}\s*$", re.I)
_MARKS = ("===", "---", "###", "***", "[batch=")
"""One of these is in a heading."""

_METRIC = re.compile(r"\s*[•*\-]\s*(?=[A-Za-z])")
_ALONE = re.compile(
    r"[-=*# ]*epoch\s*[:=#]?\s*[\[(]?\s*(\d{1,6})(?:\s*/\s*\d{1,6})?[\])]?"
    r"(?:\s*\|\s*(?:epoch )?time\b.{0,40}|[-=* :]*)",
    re.I,
)
_SPLIT = re.compile(r"\s*(?:train(?:ing)?|val(?:id(?:ation)?)?)\.?\s+loss\s*[:=]", re.I)
_SHORT = re.compile(r"\b(val|valid)\.", re.I)
_COMPOSERS = re.compile(
    r"(?:\d+:)?\s+(?:Train|Eval)\s+([\w/.\-]{1,80}):\s+([-+.\deEnaif]{1,24})\s*$"
)


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
        if self._place is None and not any(mark in line for mark in _MARKS):
            return False, None
        if (epoch := _EPOCH.match(line)) is not None:
            self._epoch = int(epoch[1])
            return True, None
        if (step := _STEP.match(line)) is not None:
            row = self.end()
            done, total = step[1] or step[3], step[2] or step[4]
            self._place = {"step": done, "total_steps": total}
            if self._epoch is not None:
                self._place = {"step": done, IN_EPOCH: (self._epoch, int(total))}
            return True, row
        if self._place is None:
            return False, None
        if (metric := _COMPOSERS.match(line)) is not None:
            told = {metric[1]: metric[2]} if canonical(metric[1]) != "learning_rate" else {}
        elif _METRIC.match(line) is not None:
            told = named(line)
        else:
            return False, None
        # A metric that comes again is another phase's.
        self._metrics |= {n: v for n, v in told.items() if n not in self._metrics}
        return True, None

    def end(self) -> dict[str, Any] | None:
        """Return the row of the block so far, or None where no loss is in it."""
        place, metrics = self._place, self._metrics
        self._place, self._metrics = None, {}
        return {**metrics, **place} if place and any(map(tells_loss, metrics)) else None


class Epochs:
    r"""Reads the losses of an epoch's splits below the line that names it, as tutorials print them.

    Examples:
        >>> epochs = Epochs()
        >>> epochs.row("Epoch 3/24"), epochs.row("train Loss: 0.4526")
        (None, {'loss': '0.4526', 'epoch': '3'})
        >>> epochs.row("Epoch: 04 | Epoch Time: 0m 42s"), epochs.row("\t Val. Loss: 0.409 |  best")
        (None, {'Val Loss': '0.409', 'epoch': '04'})
        >>> epochs.row("Epoch 2/9 begins"), epochs.row("the best loss: 0.4")
        (None, None)
    """

    def __init__(self) -> None:
        self._epoch: str | None = None

    def row(self, line: str) -> dict[str, Any] | None:
        """Return the row that a line is, or None."""
        if (alone := _ALONE.fullmatch(line.strip())) is not None:
            self._epoch = alone[1]
        if self._epoch is None or _SPLIT.match(line) is None:
            return None
        told = _SHORT.sub(lambda word: word[1], line).strip()
        return of_an_epoch(f"Epoch {self._epoch}: {told}")
