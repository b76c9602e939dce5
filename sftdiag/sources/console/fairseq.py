"""fairseq's lines, as text and as JSON: their losses are in bits, and turned into nats here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import log
from typing import Any

from sftdiag.records import as_float

_LINE = re.compile(r"\bepoch (\d{1,6})(?::\s*\d+ / \d+ | \| (valid) on )(?=.*\bnum_updates[ =])")
"""Of single steps, or of an evaluation; the line of a whole epoch has neither."""

_PAIR = re.compile(r"\b([a-z_]{2,30})[ =]([-+.\deEnaif]{1,24})(?=[\s,|]|$)")
_VALID, _BIT, _COUNT = "valid_", log(2), "num_updates"


def row(numbers: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the row that numbers of fairseq's are, or None where they are another's.

    Examples:
        >>> row({"epoch": 2, "valid_loss": "2", "valid_wps": "9", "valid_num_updates": "40"})
        {'epoch': 2, 'eval_loss': 1.3862943611198906, 'step': '40'}
        >>> row({"loss": "2", "epoch": 2})
    """
    splits = {name.removesuffix(_COUNT) for name in numbers if name.endswith(_COUNT)}
    if len(splits) != 1 or not any(name.endswith(("wps", "ppl")) for name in numbers):
        return None
    (split,) = splits
    found: dict[str, Any] = {}
    for name, value in numbers.items():
        own = name.removeprefix(split)
        bits = as_float(value)
        if own in ("loss", "nll_loss") and bits is not None:
            found[f"eval_{own}" if split == _VALID else own] = bits * _BIT
        elif own in ("lr", "gnorm", "epoch"):
            found[own] = value
        elif own == _COUNT:
            found["step"] = value
    return found


def of_an_epoch(numbers: Mapping[str, Any]) -> bool:
    """Return whether numbers are the means of a whole epoch's training."""
    return f"train_{_COUNT}" in numbers


def line(text: str) -> dict[str, Any] | None:
    """Return the row in a line of single steps or of an evaluation.

    Examples:
        >>> line("| epoch 001:   10 / 50 loss=2, nll_loss=1, ppl=2, num_updates=10, lr=0.1")
        {'epoch': '001', 'loss': 1.3862943611198906, 'nll_loss': 0.6931471805599453, \
'step': '10', 'lr': '0.1'}
        >>> line("valid | epoch 002 | valid on 'valid' subset | loss 2 | ppl 4 | num_updates 50")
        {'epoch': '002', 'eval_loss': 1.3862943611198906, 'step': '50'}
    """
    epoch = _LINE.search(text)
    if epoch is None:
        return None
    pairs = {name: value for name, value in _PAIR.findall(text) if name != "epoch"}
    if epoch[2]:
        pairs = {_VALID + name.removeprefix(_VALID): value for name, value in pairs.items()}
    return row({"epoch": epoch[1], **pairs})
