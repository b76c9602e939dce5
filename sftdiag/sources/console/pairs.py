"""Lines of names and numbers: of torchtune, Megatron, NeMo, litgpt, mlx-lm, xtuner and scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sftdiag.columns import canonical, is_of_evaluation, meaning, plain, tells_loss
from sftdiag.sources.console import fairseq

_TORCHTUNE = re.compile(r"^\s*Step (\d{1,12}) \| (\S+:\S+(?: \S+:\S+)*)\s*$")
_NUMBER = (
    r"[-+]?(?i:\d+\.#(?:qnan|snan|ind|inf)|\d+\.?\d*(?:e[-+]?\d+)?"
    r"|nan(?:\(ind\))?|inf(?:inity)?|n/a)"
)
"""Also as C prints what is none: in capitals, and on Windows as ``1.#QNAN`` or ``-nan(ind)``."""

_ITERATION = re.compile(r"\biteration\s*:?\s+(\d{1,12})\s*/\s*(\d{1,12})\b", re.I)
_NEMO_EPOCH = re.compile(r"\bTraining epoch (\d+)")
_NAN_ITERATIONS, _GRAD_NORM = "number of nan iterations", "grad norm"
"""In Megatron's lines, which leave out a loss of NaN, and up to megatron-core 0.16 one of 0."""

_SKIPPED = "number of skipped iterations"
"""Steps since the last line that float16's scale skipped: after none but those a line of
megatron-core 0.19 says 0 for the loss."""

_PART = re.compile(rf"\s*([A-Za-z][\w /.\-()]{{0,60}}?)(?:\s*[:=]\s*|\s+)({_NUMBER})\s*%?\s*$")
"""Megatron's forks of before 2020 write no colon: ``lm loss 6.7E+00 |``."""

_LITGPT = re.compile(
    rf"Epoch (\d+) \| iter (\d+) step (\d+) \| loss train: ({_NUMBER}),\s*val: ({_NUMBER})"
)
_LITGPT_VALUE = re.compile(rf"^iter (\d+): val loss ({_NUMBER})")
_VALIDATION = re.compile(
    rf"validation loss at iteration (\d+).{{0,80}}?lm loss(?: value)?: ({_NUMBER})", re.I
)
_MLX = re.compile(
    rf"\bIter (\d{{1,12}}): (Train|Val) loss ({_NUMBER})(?:, Learning Rate ({_NUMBER}))?", re.I
)
_MLX_PLAN = re.compile(r"^\s*Starting training\.\.\., iters: (\d{1,12})\s*$")
"""What mlx-lm prints before its first iteration."""

_MMENGINE = re.compile(
    r"\b(?:Iter|Epoch)\(train\)\s+(?:\[(\d{1,6})\]\s*)?\[\s*(\d{1,12})/(\d{1,12})\]"
)
_MMENGINE_PART = re.compile(rf"\b([A-Za-z][\w/.]{{0,60}}): ({_NUMBER})(?=\s|$)")

_LOSSES = ("oss", "ppl", "erplexity", "nll", "OSS", "PPL")
"""One of these is in each line that shows a loss, or a perplexity."""

_SCRIPT = re.compile(
    r"\b([A-Za-z][A-Za-z_/]{1,30}(?:\.? (?:loss|norm|rate|ppl|perplexity|accuracy)|\(1e-3\))?)"
    rf"\s*[:= ]\s*({_NUMBER})(?![\w/:])",
    re.I,
)
_TENSOR = re.compile(r"\btensor\(([^,()]{1,60})(?:,[^()]{0,80})?\)")
_MARK = r"(?:^|[\s\[(|:>-])(?:%s)\b[\])\s:|,-]*(?:bucket \d+ )?"
_PLACE = r"(?:(?:at|after|results?|of) ){0,2}(?:(?:global_)?steps?|iter(?:ation)?|epoch)\b"
_OF_EVALUATION = re.compile(
    _MARK % "val(?:id(?:at(?:e|ion|ing))?)?|eval(?:uat(?:e|ion|ing))?|dev"
    + rf"(?:{_PLACE}|(?:loss|ppl|perplexity|nll)$)",
    re.I,
)
"""Before what an evaluation's own line shows: ``[val] step 50 | loss 1.5``, ``DEV : loss 1.5``."""

_DEEPSPEED = re.compile(rf"\bstep=(\d{{1,12}}), skipped=\d+, lr=\[({_NUMBER})")
_EVALUATED = re.compile(rf"\s*ppl: {_NUMBER}, loss: ({_NUMBER})\s*$")
_OF_TEST = re.compile(_MARK % "test(?:ing)?" + rf"(?:{_PLACE}|(?:loss|ppl|perplexity|nll)$)", re.I)
_NO_EVALUATION = re.compile(
    r"\b(?:best|improv\w*|lowest|minimum|previous|patience|target|threshold|train\w*)\b", re.I
)
"""In what is said of an evaluation later, and in lines of the training."""
IN_EPOCH = "in epoch"
"""Of a script's row: the epoch that its line names, and the steps that the line counts to."""

_OURS = re.compile(r"\bSFT\d{3}\b")
"""In what the callback itself says of a loss and a step."""

_SCRIPT_STEP = re.compile(
    r"\b(?:(?:global_)?steps?|iter(?:ation)?)\.{0,3}\s*[:=#]?\s*[\[(]?\s*(\d{1,12})(?:\s*/\s*(\d{1,12}))?",
    re.I,
)
_SCRIPT_FIRST = re.compile(r"^\s*(\d{1,12})()\s*\|\s*(?=[a-z_ ]*loss\b)", re.I)
"""A step without a word, before the loss: ``10 | loss 9.37 | lr 3e-4``."""

_SCRIPT_BATCHES = re.compile(
    r"\bbatch\s*[:=#]?\s*[\[(]?\s*(\d{1,12})(?:\s*/\s*(\d{1,12}))?(?!\s*\w)", re.I
)
_SCRIPT_EPOCH = re.compile(r"\bepoch\s*[:=#]?\s*[\[(]?\s*(\d{1,6})(?:\s*/\s*\d{1,6})?", re.I)
_SCRIPT_BATCH = re.compile(
    r"[\])]?[\s,|:]*(?:(?:batch|iter|iteration)\s*[:=#]?)?\s*[\[(]?\s*(\d{1,12})\s*/\s*(\d{1,12})",
    re.I,
)
"""What stands behind the epoch where no word names the step: ``Epoch:[0/19](100/24681)``."""


def may_tell(line: str) -> bool:
    """Return whether a loss may stand in a line: most lines of a console are told apart here."""
    for part in _LOSSES:
        if part in line:
            return True
    return _NAN_ITERATIONS in line


def row(line: str) -> tuple[str, dict[str, Any]] | None:
    """Return who writes such a line, and the row that it is; or None.

    Examples:
        >>> row("Step 4 | loss:nan lr:0.1 grad_norm:0.5 ")
        ('torchtune', {'step': '4', 'loss': 'nan', 'lr': '0.1', 'grad_norm': '0.5'})
        >>> row(" iteration  10/ 100 | learning rate: 1.5E-06 |")
        >>> row(" iteration  10/ 100 | lm loss: 1.08E+01 |")
        ('megatron', {'iteration': '10', 'total_iterations': '100', 'lm loss': '1.08E+01'})
        >>> row("Epoch 1 | iter 8 step 4 | loss train: 5.904, val: n/a | iter time: 19.85 ms")
        ('litgpt', {'step': '4', 'epoch': '1', 'loss': '5.904'})

        >>> row("Iter 20: Train loss 1.056, Learning Rate 1.000e-05, It/sec 14.787")
        ('mlx-lm', {'iteration': '20', 'loss': '1.056', 'learning_rate': '1.000e-05'})
        >>> row("05/04 08:52:19 - mmengine - INFO - Iter(train) [ 20/90]  lr: 6.8e-05  loss: 2.8")
        ('xtuner', {'iteration': '20', 'total_iterations': '90', 'lr': '6.8e-05', 'loss': '2.8'})
    """
    if not may_tell(line):
        return None
    line = _without_tensors(line)
    for writer, read in WRITERS.items():
        found = read(line)
        if found is not None:
            return (writer, found) if any(map(tells_loss, found)) else None
    return None


def _is_loss(name: str) -> bool:
    known = canonical(name)
    return known in ("loss", "eval_loss", "train_loss")


def _torchtune(line: str) -> dict[str, Any] | None:
    match = _TORCHTUNE.match(line)
    if match is None:
        return None
    pairs = (part.rpartition(":") for part in match[2].split(" "))
    return {"step": match[1], **{name: value for name, _, value in pairs}}


def _iteration(line: str) -> dict[str, Any] | None:
    """Megatron's and NeMo's: parts between bars, the iteration before or in the first one."""
    if " on test set " in line:
        return None
    if match := _VALIDATION.search(line):
        return {"iteration": match[1], "eval_loss": match[2]}
    match = _ITERATION.search(line)
    if match is None or "|" not in line:
        return None
    found: dict[str, Any] = {"iteration": match[1], "total_iterations": match[2]}
    nemo = _NEMO_EPOCH.search(line)
    for part in line[match.end() :].split("|"):
        if (pair := _PART.match(part)) and pair[2] != "n/a":
            found[pair[1]] = pair[2]
    if _NAN_ITERATIONS in found:
        losses = [name for name in found if _is_loss(name)]
        if float(found.get(_SKIPPED, 0)) > 0 and not any(float(found[name]) for name in losses):
            found = {name: value for name, value in found.items() if name not in losses}
            losses = []
        found.update({} if losses else _left_out(found))
    if nemo is not None:
        # Both count from 0, and the last iteration's number is written as the total.
        del found["total_iterations"]
        done = found.pop("global_step", found["iteration"])
        found["iteration"] = str(int(float(done)) + 1)
    return found


def _left_out(found: dict[str, Any]) -> dict[str, Any]:
    """Return the loss that Megatron left out, where the rest of the line tells which it was.

    Steps of float16 that were skipped, and no more, leave it open.

    Examples:
        >>> _left_out({"number of nan iterations": "1"}), _left_out({"grad norm": "nan"})
        ({'lm loss': 'nan'}, {'lm loss': 'nan'})
        >>> _left_out({"grad norm": "0.000"}), _left_out({"grad norm": "0.7"})
        ({'lm loss': '0'}, {})

    A norm is rounded to three decimals, so another loss beside it may be the one of the run:

        >>> _left_out({"grad norm": "0.000", "my loss": "0.5", "loss scale": "1.0"})
        {}
    """
    norm = found.get(_GRAD_NORM, "").lower()
    if norm == "nan" or float(found.get(_NAN_ITERATIONS, 0)) > 0:
        return {"lm loss": "nan"}
    other = any("loss" in name and name != "loss scale" for name in found)
    return {"lm loss": "0"} if norm and float(norm) == 0 and not other else {}


def _litgpt(line: str) -> dict[str, Any] | None:
    match = _LITGPT.search(line)
    if match is None:
        value = _LITGPT_VALUE.match(line.strip())
        return {"eval_loss": value[2]} if value else None
    found = {"step": match[3], "epoch": match[1], "loss": match[4], "eval_loss": match[5]}
    return {name: value for name, value in found.items() if value != "n/a"}


def planned(line: str) -> int | None:
    """Return the iterations that mlx-lm says it will do, or None.

    Examples:
        >>> planned("Starting training..., iters: 600")
        600
    """
    match = _MLX_PLAN.match(line)
    return int(match[1]) if match else None


def _mlx(line: str) -> dict[str, Any] | None:
    match = _MLX.search(line)
    if match is None:
        return None
    loss = "loss" if match[2].lower() == "train" else "eval_loss"
    found = {"iteration": match[1], loss: match[3]}
    return found | ({"learning_rate": match[4]} if match[4] else {})


def _mmengine(line: str) -> dict[str, Any] | None:
    """xtuner's, by mmengine: iterations of the run, or of an epoch."""
    match = _MMENGINE.search(line)
    if match is None:
        return None
    parts = dict(_MMENGINE_PART.findall(line[match.end() :]))
    if match[1] is None:
        return {"iteration": match[2], "total_iterations": match[3], **parts}
    before = (int(match[1]) - 1) * int(match[3])
    return {"iteration": str(before + int(match[2])), "epoch": match[1], **parts}


def _script(line: str) -> dict[str, Any] | None:
    """A script's own line: a step and a loss, such as ``step 10 loss 1.5``."""
    epoch = _SCRIPT_EPOCH.search(line)
    step = _SCRIPT_STEP.search(line) or _SCRIPT_FIRST.match(line)
    if step is None and epoch is not None:
        step = _SCRIPT_BATCH.match(line, epoch.end())
    step = step or _SCRIPT_BATCHES.search(line)
    if step is None or _OURS.search(line):
        return None
    found = named(line)
    found["step"] = step[1]
    if epoch is not None:
        found[IN_EPOCH] = (int(epoch[1]), int(step[2]) if step[2] else None)
    elif step[2]:
        found["total_steps"] = step[2]
    return found


def _without_tensors(line: str) -> str:
    """Return a line in which ``tensor(2.5, device='cuda:0')`` is 2.5."""
    return _TENSOR.sub(r"\1", line) if "tensor(" in line else line


def named(line: str) -> dict[str, Any]:
    """Return the numbers that stand behind names, of an evaluation where the line is one's."""
    found: dict[str, Any] = {}
    seen = 0
    for pair in _SCRIPT.finditer(line):
        name, value = pair.groups()
        if tells_loss(name):
            before, seen = line[seen : pair.end(1)], pair.end()
            if _OF_TEST.search(before):
                continue
            if meaning(name) != "eval_loss" and _OF_EVALUATION.search(before):
                name = f"eval_{name}"
        if value.lower() != "n/a" and plain(name) not in ("step", "steps", "global_step", "epoch"):
            found.setdefault(name, value)
    return found


def deepspeed(line: str) -> tuple[int, str] | None:
    """Return the step and the learning rate that DeepSpeed's own line tells, or None.

    Examples:
        >>> deepspeed("[INFO] [Rank 0] step=10, skipped=0, lr=[2e-05, 2e-05], mom=[[0.9, 0.95]]")
        (10, '2e-05')
    """
    found = _DEEPSPEED.search(line) if "skipped=" in line else None
    return (int(found[1]), found[2]) if found else None


def evaluated(line: str) -> dict[str, Any] | None:
    """Return DeepSpeed-Chat's evaluation: nothing but a perplexity and a loss.

    Examples:
        >>> evaluated("ppl: 4.5, loss: 1.5")
        {'eval_loss': '1.5'}
    """
    found = _EVALUATED.match(line) if "ppl: " in line else None
    return {"eval_loss": found[1]} if found else None


def evaluation(line: str) -> dict[str, Any] | None:
    """Return the evaluation that a line shows which names no step, or None.

    Examples:
        >>> evaluation("[2026-01-01 10:00:00 INFO] Validation perplexity: 12.5")
        {'Validation perplexity': '12.5'}
        >>> evaluation(" eval_ppl=tensor(12.5, device='cuda:0') eval_epoch_loss=tensor(2.5)")
        {'eval_ppl': '12.5', 'eval_epoch_loss': '2.5'}
        >>> evaluation("DEV : loss 1.5 - f1-score 0.8")
        {'eval_loss': '1.5'}
        >>> evaluation("New best eval loss: 1.5"), evaluation("Test loss: 1.5")
        (None, None)
    """
    if not may_tell(line) or _NO_EVALUATION.search(line) or _OURS.search(line):
        return None
    found = named(_without_tensors(line))
    told = {name: value for name, value in found.items() if is_of_evaluation(name)}
    return told if "eval_loss" in map(meaning, told) else None


def tells_only_a_loss(line: str) -> bool:
    """Return whether a line shows the number of a loss, and nothing of where it stands.

    Examples:
        >>> tells_only_a_loss("training loss: 2.5"), tells_only_a_loss("step 1 loss 2.5")
        (True, False)
    """
    if not may_tell(line) or row(line) is not None or of_an_epoch(line) is not None:
        return False
    return any(map(tells_loss, named(line)))


def of_an_epoch(line: str) -> dict[str, Any] | None:
    """Return the row that a script prints once an epoch, or None; a loss is in it.

    Examples:
        >>> of_an_epoch("Epoch 2/9 - Train Loss: 1.50 - Val Loss: 2.25")
        {'loss': '1.50', 'Val Loss': '2.25', 'epoch': '2'}
        >>> of_an_epoch("Epoch 2/9 begins")
    """
    epoch = _SCRIPT_EPOCH.search(line) if may_tell(line) else None
    if epoch is None or _OURS.search(line):
        return None
    found: dict[str, Any] = {}
    told = named(_without_tensors(line))
    for name, value in told.items():
        # Nowhere else in such a log stands the loss of single steps.
        known = "loss" if canonical(name) in ("loss", "train_loss") else name
        found.setdefault(known, value)
    return {**found, "epoch": epoch[1]} if any(map(tells_loss, found)) else None


class Counted:
    """Counts on the steps of a script that begin anew in each of its epochs.

    Examples:
        >>> counted = Counted()
        >>> for line in ("Epoch [1/2], Step [9/9], loss 2.5", "Epoch [2/2], Step [3/9], loss 1.5"):
        ...     counted.take(_script(line))
        {'loss': '2.5', 'step': '9', 'epoch': 1.0}
        {'loss': '1.5', 'step': '12', 'epoch': 1.3333333333333333}
    """

    def __init__(self) -> None:
        self._before = self._first = self._last = self._gap = 0
        self._epoch: int | None = None
        self._from_zero = False

    def take(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a script's row at the step in all, with its epoch where that is told."""
        epoch, total = row.pop(IN_EPOCH, (None, None))
        if epoch is None:
            return row
        step = int(row["step"])
        if self._epoch is None:
            self._first, self._from_zero = step, epoch == 0
        elif epoch > self._epoch and step <= self._last:
            self._before += total or self._last + self._gap - self._first
            self._first = step
        elif step > self._last:
            self._gap = step - self._last
        self._epoch, self._last = epoch, step
        row["step"] = str(self._before + step)
        if total and step <= total:
            row["epoch"] = epoch - (not self._from_zero) + step / total
        return row


WRITERS: Mapping[str, Callable[[str], dict[str, Any] | None]] = MappingProxyType(
    {
        "torchtune": _torchtune,
        "megatron": _iteration,
        "litgpt": _litgpt,
        "mlx-lm": _mlx,
        "xtuner": _mmengine,
        "fairseq": fairseq.line,
        "script": _script,
    }
)
"""Who writes a line to what reads it, in the order in which they are asked."""

FRAMEWORKS = ("torchtune", "litgpt")
"""Writers that train with settings of their own (:mod:`sftdiag.guide.dialect`)."""
