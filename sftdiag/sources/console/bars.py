"""Progress bars of tqdm: how far the training is, and the metrics that are written around them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sftdiag.columns import plain, tells_loss

_BAR = re.compile(r"(?P<of>[^|\r\n]{0,60}?)\s*\d{1,3}%\|[^|]{0,300}\|\s*(\d+)/(\d+)\s*\[")

_WHOLE = re.compile(r"\d{1,3}%\|[^|]{0,300}\|\s*\d+/\d+\s*\[[^\]\[]{0,400}\]")

_TRAINING = re.compile(r"(?:.*(?:\s|\]:?|>|^\d+:))?(?:train\w*:?|steps?:?)?", re.I)
"""What stands before the training's bar: nothing (transformers), or ``Train`` (ms-swift)."""

_LOSS = re.compile(
    r"\b(?:(?:avg|avr|mean|train|batch|step)[_ ])?loss\s*[:=]?\s*"
    r"([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf)\b",
    re.I,
)
_EPOCH = re.compile(r"\bepoch\s*[:=#]?\s*[\[(]?\s*(\d{1,6})\b", re.I)
_OF_AN_EPOCH = re.compile(
    r"(?:.*[\s\]|])?epoch\s*[:#]?\s*\[?\d+(?:\s*/\s*\d+)?\]?\s*(?:[\[(]?train\w*[\])]?)?", re.I
)
"""What stands before a bar that is drawn anew in each epoch."""

_EVALUATION = re.compile(r"\b(?:eval|val(?:id)?|dev)", re.I)
_TEST = re.compile(r"\b(?:test|predict)", re.I)
_TORCHTUNE = re.compile(r"(\d{1,6})\|(\d{1,12})\|Loss: [^|]*$")
"""The epoch and the step before torchtune's loss."""
_POSTFIX = re.compile(
    r"(?:[,\[]\s*([A-Za-z][\w/. ]{1,60})=|[,\[\s]\s*([A-Za-z][\w/.]{1,60}): ?)"
    r"([-+0-9.eEinfa]{1,24})(?=[,\]\s])"
)
"""A postfix of metrics as tqdm writes it, or a script's own: ``lr: 1e-4 loss: 2``."""
_LIGHTNING, _STEP = "v_num", "global_step"
_PLACES = frozenset({"step", "epoch", "batch", "iter"})
"""What a script shows of where it is: the bar tells it, too."""


class Shown(NamedTuple):
    """What a bar with metrics shows.

    Attributes:
        row: the metrics, of the training or of an evaluation.
        done: how far the bar is.
        total: where it ends.
        epoch: the number of the epoch that it names.
        per_epoch: it is drawn anew in each epoch.
        from_zero: it counts epochs from 0, as Lightning does.
        evaluation: it is an evaluation's, whose means are complete at its end.
        of_torchtune: it names the step as torchtune does.
    """

    row: dict[str, Any]
    done: int
    total: int
    epoch: int | None = None
    per_epoch: bool = False
    from_zero: bool = False
    evaluation: bool = False
    of_torchtune: bool = False


def apart(line: str) -> list[str]:
    """Return the bars in a line that lost its returns, and the text behind each.

    Examples:
        >>> apart("a:  1%|# | 1/9 [0:01<0:09, x=1.5]a:  2%|# | 2/9 [0:02<0:09, x=1]step 2 loss 1")
        ['a:  1%|# | 1/9 [0:01<0:09, x=1.5]', 'a:  2%|# | 2/9 [0:02<0:09, x=1]', 'step 2 loss 1']
    """
    found, start = [], 0
    for bar in _WHOLE.finditer(line):
        found += [line[start : bar.end()]]
        start = bar.end()
    rest = line[start:]
    return [*found, rest] if rest.strip() or not found else found


def training(line: str) -> tuple[int, int] | None:
    """Return a training bar's (done, total).

    Examples:
        >>> training("  5%|4         | 20/436 [01:02<21:40,  3.12s/it]")
        (20, 436)
        >>> training("Map: 100%|####| 192/192 [00:00<00:00, 900 examples/s]")
    """
    match = _BAR.search(line)
    if match is None or not _TRAINING.fullmatch(match["of"].strip()):
        return None
    done, total = _count(match[2]), _count(match[3])
    return (done, total) if 0 <= done <= total and total > 1 else None


def shown(line: str) -> Shown | None:
    """Return what a bar shows of a training or an evaluation, or None where it shows no loss.

    Examples:
        >>> shown("Epoch: 1/3, step 4/10 completed (loss: 1.25):  50%|## | 5/10 [00:09<00:09")
        Shown(row={'loss': '1.25'}, done=5, total=10, epoch=1, per_epoch=False, from_zero=False, \
evaluation=False, of_torchtune=False)
        >>> shown("steps:  50%|## | 5/10 [00:09<00:09, 1.8s/it, avr_loss=1.25]")[:3]
        ({'avr_loss': '1.25'}, 5, 10)
        >>> shown("Epoch 1:  50%|## | 5/10 [00:01<00:01, 4.9it/s, v_num=0, train_loss=1.25]")[:6]
        ({'train_loss': '1.25'}, 5, 10, 1, True, True)
        >>> shown("Validation, loss 1.25:  50%|## | 5/10 [00:09<00:09")
    """
    found = _BAR.search(line)
    if found is None:
        return None
    before = line[: found.end(1)].partition("%|")[0]
    pairs = _POSTFIX.findall(line[found.end() - 1 :])
    named: dict[str, Any] = {own or other: value for own, other, value in pairs}
    row = {name: value for name, value in named.items() if plain(name) not in _PLACES}
    done, total = _count(found[2]), _count(found[3])
    if _TEST.search(before):
        return None
    if _EVALUATION.search(before):
        row = {_of_evaluation(name): value for name, value in row.items() if tells_loss(name)}
        return Shown(row, done, total, evaluation=True) if row and done == total else None
    if not any(map(tells_loss, row)):
        told = [match[1] for match in _LOSS.finditer(before)]
        row = {"loss": told[-1], **row} if told else {}
    label = _EPOCH.search(before)
    if not row or not 0 < done <= total:
        return None
    number = int(label[1]) if label else None
    per_epoch = _OF_AN_EPOCH.fullmatch(found["of"].strip(" :,-")) is not None
    if (counted := _TORCHTUNE.search(before)) is not None:
        number, per_epoch, row["step"] = int(counted[1]), True, counted[2]
    of_lightning = row.pop(_LIGHTNING, None) is not None or _STEP in row
    own = counted is not None
    return Shown(row, done, total, number, per_epoch, of_lightning, of_torchtune=own)


def _of_evaluation(name: str) -> str:
    return name if _EVALUATION.match(name) else f"eval_{name}"


def _count(text: str) -> int:
    return int(text[:15])
