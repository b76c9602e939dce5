"""Tables: a notebook's, as HTML or pasted as text, and those of a model card."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sftdiag.columns import canonical, plain

_CELL = re.compile(r"<t[hd][^>]{0,200}>(.*?)</t[hd]>", re.S)
_ROW = re.compile(r"<tr[^>]{0,200}>(.*?)</tr>", re.S)
_TABLE = re.compile(r"<table.*?</table>", re.S)
_SPLIT = re.compile(r"\s*\|\s*|\s*\t\s*|\s{2,}")

_VALUE = re.compile(r"[-+]?(?:\d[\d,_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf|NaN|No log)")


class Table:
    """A table read line by line: a header that names a loss, and rows of as many numbers."""

    def __init__(self) -> None:
        self.names: list[str] | None = None

    def row(self, line: str) -> dict[str, Any] | None:
        """Return the row that a line is, or None."""
        if self.names is None and "oss" not in line:
            return None
        cells = [cell for cell in _SPLIT.split(line.strip().strip("|").strip()) if cell]
        if is_header(cells):
            self.names = cells
            return None
        if self.names is None:
            return None
        if len(cells) != len(self.names) or not all(map(_VALUE.fullmatch, cells)):
            if cells and not set(line) <= set("|-: \t"):
                self.names = None
            return None
        return named(self.names, cells)


def is_header(cells: list[str]) -> bool:
    """Return whether these name a step or an epoch, and a loss."""
    if len(cells) < 2 or not all(cell[:1].isalpha() for cell in cells):
        return False
    keys = {plain(cell) for cell in cells}
    known = {canonical(cell) for cell in cells}
    return bool(keys & {"step", "epoch"}) and bool(known & {"loss", "eval_loss"})


def named(names: list[str], cells: list[str]) -> dict[str, Any]:
    """Return a row's numbers by name; a loss that was not logged yet is left out."""
    pairs = zip(names, cells, strict=False)
    return {name: cell.replace(",", "") for name, cell in pairs if cell and cell != "No log"}


def html(text: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the tables in HTML, as the Trainer shows them in a notebook."""
    for table in _TABLE.findall(text):
        names: list[str] | None = None
        for row in _ROW.findall(table):
            cells = [cell.strip() for cell in _CELL.findall(row)]
            if names is None:
                if not is_header(cells):
                    break
                names = cells
            elif len(cells) == len(names):
                yield named(names, cells)
