"""Tables: a notebook's, as HTML or pasted as text, and those of a model card."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag.columns import STEPS, canonical, is_of_evaluation, measured, plain, tells_loss
from sftdiag.records import objective_of

_CELL = re.compile(r"<t[hd][^>]{0,200}>(.*?)</t[hd]>", re.S)
_ROW = re.compile(r"<tr[^>]{0,200}>(.*?)</tr>", re.S)
_TABLE = re.compile(r"<table.*?</table>", re.S)
_SPLIT = re.compile(r"\s*\|\s*|\s*\t\s*|\s{2,}")

_PROGRESS = re.compile(
    r"\[\s*(\d{1,12})/(\d{1,12})\s[\d: <,.]*(?:it/s|s/it)?,?\s*Epoch (\d+(?:\.\d+)?)/(\d{1,6})\]"
)
"""What the Trainer writes above its table in a notebook."""

_VALUE = re.compile(
    r"[-+]?(?:\d[\d,_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+|(?i:nan|inf)|No log)|"
    + (_TIME := r"\d{1,4}:\d\d(?::\d\d)?")
)
_DURATION = re.compile(_TIME)
"""fastai's last column."""
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?(?:[eE][-+]?\d+)?")

_NOT_LOGGED = frozenset({"no log", "n/a", "-", "\N{EN DASH}", "\N{EM DASH}", "none", ""})
_SET_OFF = "*`_ "
"""What Markdown sets a cell off with, such as the best or the last one."""

_METRICS = frozenset({"loss", "eval_loss", "train_loss", "learning_rate", "grad_norm"})
_PLACES = frozenset({"step", "epoch", "iter", "iteration"})
_MARK = re.compile(r"(?<=\d)[^\w.,%)\]}:]+$")
"""What stands behind a number to set it off: a tick, a star, an arrow."""
_OF_TRAINING = re.compile(
    r"train|learning_rate|^lr$|grad|tokens_seen|time|per_second|memory|samples"
)
"""In the names of columns that are no score of an evaluation."""


SHOWN = 0.05
"""How far the epoch shown there may lag behind the steps, in epochs: it is drawn before them."""


class Progress:
    """What stands above a notebook's table of the run: its steps, and how many make an epoch.

    Examples:
        >>> progress = Progress()
        >>> progress.read("[ 22/290 02:50 < 38:04, 0.12 it/s, Epoch 0.36/5]")
        True
        >>> progress.max_steps, progress.placed({"Step": "29"}, 29)["epoch"]
        (290, 0.5)

    An epoch that is rounded down tells nothing unless it is the last one:

        >>> progress.read("[60/60 09:26, Epoch 1/2]"), progress.placed({"Step": "30"}, 30)
        (True, {'Step': '30'})
    """

    def __init__(self) -> None:
        self.max_steps: int | None = None
        self._per_epoch: float | None = None

    def read(self, text: str) -> bool:
        """Take in what a text says of it lastly; return whether it says anything."""
        found = _PROGRESS.findall(text) if "Epoch" in text and "/" in text else []
        if not found:
            return False
        done, total, epoch, epochs = found[-1]
        whole = 0 < int(epochs) == float(epoch)
        self.max_steps = int(total) or None
        # As many steps in each epoch as the plan has: what is shown of the epoch is rounded.
        per_epoch = int(total) / int(epochs) if int(epochs) else 0.0
        behind = int(done) - float(epoch) * per_epoch
        fits = "." in epoch and abs(behind) <= SHOWN * per_epoch
        self._per_epoch = per_epoch if per_epoch > 0.0 and (whole or fits) else None
        return True

    def placed(self, row: dict[str, Any], step: int | None) -> dict[str, Any]:
        """Return a row with its epoch, where its step tells it and it does not say it itself."""
        if not self._per_epoch or not step or any(plain(name) == "epoch" for name in row):
            return row
        return {**row, "epoch": step / self._per_epoch}


def step_in(row: Mapping[str, Any]) -> int | None:
    """Return the step of a table's row, or None."""
    told = next((str(value) for name, value in row.items() if plain(name) == "step"), "")
    return int(told) if told.isdecimal() else None


class Table:
    """A table read line by line: a header that names a loss, and rows of as many numbers."""

    def __init__(self) -> None:
        self.names: list[str] | None = None

    def row(self, line: str) -> dict[str, Any] | None:
        """Return the row that a line is, or None."""
        if self.names is None and "oss" not in line:
            return None
        inner = line.strip().removeprefix("|").removesuffix("|").strip(" ")
        text = [_MARK.sub("", cell.strip(_SET_OFF)) for cell in _SPLIT.split(inner)]
        cells = [cell for cell in text if cell]
        if self.names is not None and "|" in line and len(text) == len(self.names):
            # An empty cell keeps its place.
            cells = text
        if is_header(cells):
            self.names = cells
            return None
        if self.names is None:
            return None
        words = "|" in line or "\t" in line
        if len(cells) != len(self.names) or not _is_row(self.names, cells, words=words):
            # A callback's sentence between two rows ends no table: it has no second cell.
            if len(cells) > 1 and not set(line) <= set("|-: \t"):
                self.names = None
            return None
        return named(self.names, cells)


def _is_row(names: list[str], cells: list[str], *, words: bool) -> bool:
    """Return whether the cells are a row's; of metrics that are not known they may be ``words``.

    Examples:
        >>> _is_row(["Epoch", "Loss", "Observation"], ["3", "1.25", "still falling"], words=True)
        True
        >>> _is_row(["Epoch", "Loss", "Observation"], ["3", "low", "still falling"], words=True)
        False
    """
    numbers = [_VALUE.fullmatch(cell) is not None for cell in cells]
    if all(numbers):
        return True
    if not words:
        return False
    place = loss = False
    for name, cell, number in zip(names, cells, numbers, strict=True):
        metric, at = canonical(name) in _METRICS, plain(name) in _PLACES
        if (metric or at) and not number and cell.lower() not in _NOT_LOGGED:
            return False
        place, loss = place or (at and number), loss or (metric and number)
    return place and loss


def is_header(cells: list[str]) -> bool:
    """Return whether these name a step or an epoch, and a loss."""
    if len(cells) < 2 or not all(cell[:1].isalpha() for cell in cells):
        return False
    keys = {plain(cell) for cell in cells}
    known = {canonical(cell) for cell in cells}
    return not keys.isdisjoint(_PLACES) and bool(known & {"loss", "eval_loss"})


def named(names: list[str], cells: list[str]) -> dict[str, Any]:
    """Return a row's numbers by name; a loss that was not logged yet is left out.

    Commas stand between thousands, or, in a row where one of them cannot, for the decimal point.

    Examples:
        >>> named(["step", "loss"], ["1,000", "1.25"]), named(["step", "loss"], ["500", "0,250"])
        ({'step': '1000', 'loss': '1.25'}, {'step': '500', 'loss': '0.250'})
        >>> named(["epoch", "train_loss", "valid_loss", "time"], ["1", "0.5", "0.7", "00:23"])
        {'epoch': '1', 'loss': '0.5', 'valid_loss': '0.7'}

    What stands beside an evaluation's loss is its score: the Trainer's tables leave ``eval_`` out.

        >>> named(["Step", "Validation Loss", "Gen Len", "Wer"], ["9", "0.7", "19.0", "0.25"])
        {'Step': '9', 'Validation Loss': '0.7', 'eval_gen_len': '19.0', 'eval_wer': '0.25'}
    """
    known = [canonical(name) for name in names]
    if "loss" not in known and "train_loss" in known:
        # A table of epochs has no other train loss: it is no mean of the run.
        names = ["loss" if of == "train_loss" else n for n, of in zip(names, known, strict=True)]
    names = scored(names)
    point = "." if any("," in cell and not _GROUPED.fullmatch(cell) for cell in cells) else ""
    pairs = zip(names, cells, strict=False)
    kept = ((name, cell) for name, cell in pairs if cell.lower() not in _NOT_LOGGED)
    numbers = ((n, c) for n, c in kept if _VALUE.fullmatch(c) and not _DURATION.fullmatch(c))
    return {name: cell.replace(",", point) for name, cell in numbers}


def scored(names: list[str]) -> list[str]:
    """Return the names of a table's columns, those beside an evaluation's loss as its scores."""
    if "eval_loss" not in map(canonical, names):
        return names
    return [_score(name) or name for name in names]


def _score(name: str) -> str | None:
    """Return the name of an evaluation's score, or None for what is none or says its split."""
    key = plain(name)
    if key in STEPS or key in _PLACES or (tells_loss(name) and measured(name) is None):
        return None
    if _OF_TRAINING.search(key) or objective_of((key,)) or is_of_evaluation(name):
        return None
    return f"eval_{key}"


def html(text: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the tables in HTML, as the Trainer shows them in a notebook."""
    progress = Progress()
    progress.read(text)
    for table in _TABLE.findall(text):
        names: list[str] | None = None
        for line in _ROW.findall(table):
            cells = [cell.strip() for cell in _CELL.findall(line)]
            if names is None:
                if not is_header(cells):
                    break
                names = cells
            elif len(cells) == len(names):
                row = named(names, cells)
                yield progress.placed(row, step_in(row))
