"""Keras: the line that ends an epoch, below a line that names it."""

from __future__ import annotations

import re
from typing import Any

from sftdiag.columns import is_of_evaluation
from sftdiag.sources.console.pairs import named

_EPOCH = re.compile(r"\s*Epoch (\d{1,6})/(\d{1,6})\s*$")
_LINE = re.compile(r"\s*(\d{1,9})/(\d{1,9})(?:\s+(?:\[[=>.\-]*\]|━[━ ]*))?\s+(?=.*\bloss: )")


class Epochs:
    """Reads the lines of ``model.fit``: each is drawn again and again, with means of the epoch.

    Only the last one of an epoch is its mean; after it comes the same with an evaluation.

    Examples:
        >>> epochs = Epochs()
        >>> epochs.head("Epoch 2/3")
        >>> epochs.row("25/50 [=====>.....] - ETA: 9s - loss: 2.5")
        >>> epochs.row("50/50 [===========] - 9s 3ms/step - loss: 2.25 - val_loss: 2.5")
        {'step': '100', 'total_steps': '150', 'epoch': '2', 'loss': '2.25', 'val_loss': '2.5'}
    """

    def __init__(self) -> None:
        self._epoch: tuple[int, int] | None = None
        self._told: int | None = None

    def head(self, line: str) -> None:
        """Take in a line that may name an epoch."""
        if "Epoch " in line and (header := _EPOCH.match(line)) is not None:
            self._epoch = (int(header[1]), int(header[2]))

    def row(self, line: str) -> dict[str, Any] | None:
        """Return the row that a line is, or None."""
        if self._epoch is None or (found := _LINE.match(line)) is None:
            return None
        epoch, epochs = self._epoch
        done, total = int(found[1]), int(found[2])
        if done != total:
            return None
        row = named(line[found.end() :])
        if self._told == epoch:
            row = {n: v for n, v in row.items() if is_of_evaluation(n)}
        self._told = epoch
        place = {"step": epoch * total, "total_steps": epochs * total, "epoch": epoch}
        return {**{name: str(number) for name, number in place.items()}, **row} if row else None
