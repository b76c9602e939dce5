"""Progress bars of tqdm: how far the training is, and the metrics that Lightning writes there."""

from __future__ import annotations

import re
from typing import Any

_BAR = re.compile(r"(?P<of>[^|\r\n]{0,60}?)\s*\d{1,3}%\|[^|]{0,300}\|\s*(\d+)/(\d+)\s*\[")

_TRAINING = re.compile(r"(?:.*(?:\s|\]:?|>|^\d+:))?(?:train\w*:?|steps?:?)?", re.I)
"""What stands before the training's bar: nothing (transformers), or ``Train`` (ms-swift)."""

_EPOCH = re.compile(r"Epoch (\d+)")
_DESCRIBED = re.compile(r"\bloss\s*[:=]?\s*([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf)\b", re.I)
_LABEL = re.compile(r"\bepoch\s*[:=#]?\s*[\[(]?\s*(\d{1,6})\b", re.I)
_EVALUATION = re.compile(r"\b(?:eval|val(?:id)?|dev|test)", re.I)
_POSTFIX = re.compile(r"[,\[]\s*([A-Za-z][\w/. ]{1,60})=([-+0-9.eEinfa]{1,24})(?=[,\]])")


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
    done, total = int(match[2][:15]), int(match[3][:15])
    return (done, total) if 0 <= done <= total and total > 1 else None


def described(line: str) -> tuple[str, int, int, int | None] | None:
    """Return the loss that a script shows at its training's bar, (done, total), and the epoch.

    Examples:
        >>> described("Epoch: 1/3, step 4/10 completed (loss: 1.25):  50%|## | 5/10 [00:09<00:09")
        ('1.25', 5, 10, 1)
        >>> described("Train:  50%|## | 5/10 [00:09<00:09, 1.8s/it, loss=1.25]")
        ('1.25', 5, 10, None)
        >>> described("Validation, loss 1.25:  50%|## | 5/10 [00:09<00:09")
    """
    found = _BAR.search(line)
    if found is None:
        return None
    before = line[: found.end(1)].partition("%|")[0]
    loss = next((match[1] for match in reversed(list(_DESCRIBED.finditer(before)))), None)
    if loss is None and training(line) is not None:
        loss = dict(_POSTFIX.findall(line[found.end() - 1 :])).get("loss")
    if loss is None or _EVALUATION.search(before):
        return None
    label = _LABEL.search(before)
    epoch = int(label[1]) if label else None
    return loss, int(found[2][:15]), int(found[3][:15]), epoch


def metrics(line: str) -> dict[str, Any] | None:
    """Return the metrics behind a bar of Lightning or NeMo, at the batches done in all.

    Examples:
        >>> metrics("Epoch 1:  50%|## | 5/10 [00:01<00:01, 4.9it/s, v_num=0, train_loss=1.25]")
        {'train_loss': '1.25', 'epoch': 1, 'step': 15}
    """
    if not (match := _BAR.search(line)) or not (epoch := _EPOCH.search(match["of"])):
        return None
    row: dict[str, Any] = dict(_POSTFIX.findall(line[match.end() - 1 :]))
    row.pop("v_num", None)
    number, done, total = int(epoch[1][:9]), int(match[2][:15]), int(match[3][:15])
    row["epoch"] = number
    if "global_step" not in row:
        row["step"] = number * total + done
    return row
