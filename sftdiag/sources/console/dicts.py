"""Dicts as the Trainer prints them: with numbers, as strings, as JSON, of tensors, over lines."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sftdiag.columns import canonical, tells_loss
from sftdiag.records import as_float

_DICT = re.compile(r"\{\s*['\"][^{}]{3,4000}\}")

_ITEM = re.compile(
    r"""(['"])(?P<name>[^'"]{1,120})\1\s*:\s*
    (?: (['"])(?P<text>[^'"]{0,200})\3
      | (?:np\.float\d+|np\.int\d+|tensor|array)?\(?\s*(?P<number>[^\s,'"(){}\[\]]{1,60}) )""",
    re.VERBOSE,
)

_NUMBERS = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf|infinity)", re.I)

_OPEN = re.compile(r"\{\s*['\"][\w/.\- ]{1,60}['\"]\s*:[^{}]{0,3000}$")

METRICS = ("loss", "eval_loss", "train_loss", "train_runtime", "eval_runtime")
"""One of these makes a dict a row: prints of rows, settings and batches are dicts, too."""


def rows(line: str, own: Collection[str] = ()) -> list[tuple[dict[str, Any], bool]]:
    """Return the rows in a line, each with whether its numbers were strings.

    Args:
        line: a line of the console.
        own: columns that the user named; one of them makes a dict a row, too.

    Examples:
        >>> rows("12%|## | 10/80 {'loss': '1.204', 'grad_norm': 'nan', 'epoch': '0.5'}")
        [({'loss': '1.204', 'grad_norm': 'nan', 'epoch': '0.5'}, True)]
        >>> rows("{'loss': 1.2, 'step': 3} {'input_ids': 5}")
        [({'loss': '1.2', 'step': '3'}, False)]
    """
    return [found for found in numbers(line) if is_row(found[0], own)]


def numbers(line: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the numbers of each dict in a line, whatever they are of, as :func:`rows` does."""
    for text in _DICT.findall(line):
        row, texts, bare = {}, 0, 0
        for item in _ITEM.finditer(text):
            quoted = item["text"]
            value = quoted if quoted is not None else item["number"]
            if not _NUMBERS.fullmatch(value) and "/" not in value:
                continue
            row[item["name"]] = value
            texts += quoted is not None
            bare += quoted is None
        yield row, texts > bare


def is_row(row: Mapping[str, Any], own: Collection[str] = ()) -> bool:
    """Return whether these are numbers of a training log, or of columns that the user named."""
    for name, value in row.items():
        if name in own:
            return True
        known = canonical(name) if isinstance(name, str) else None
        loss = known is not None and known.startswith("eval_") and known.endswith("_loss")
        told = loss or known in METRICS or (isinstance(name, str) and tells_loss(name))
        if told and as_float(value) is not None:
            return True
    return False


def opened(line: str) -> str | None:
    """Return the beginning of a dict that the line leaves open, as a narrow console wraps it."""
    match = _OPEN.search(line)
    return match.group() if match else None
