"""Columns: what tools call the Trainer's metrics; the one table of names.

A tool's name is looked up as it stands, then without case, spaces and dashes, then without the
split it begins with (``train/``, ``val_``). What no line of the table knows keeps its own name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import log, nan
from typing import Any

from sftdiag.errors import ConfigError
from sftdiag.records import CLOSING_ROW, LOGGED, MAX_STEPS, as_float, objective_of
from sftdiag.values import EMPTY

NAMES: Mapping[str, tuple[str, ...]] = {
    "loss": (
        *("training_loss", "loss_train", "loss_step", "lm_loss", "reduced_train_loss", "ce_loss"),
        *("train_loss_step", "train/loss_step", "sft_loss", "step_loss", "avg_loss", "loss_value"),
        *("loss/train", "losses/train", "sft/loss"),
        *("total_loss", "mean_loss", "loss_mean", "loss_avg", "batch_loss", "cross_entropy"),
        *("cross_entropy_loss", "nll_loss", "token_loss", "nll", "train_epoch_loss"),
        *("loss/train/total", "languagecrossentropy", "metrics/train/languagecrossentropy"),
        *("avr_loss", "running_loss", "gpt_loss", "llm_loss", "reduced_llm_loss", "closs"),
    ),
    "eval_loss": (
        *("val_loss", "validation_loss", "valid_loss", "dev_loss", "eval/loss", "val/loss"),
        *("validation/loss", "valid/loss", "dev/loss", "val_loss_epoch", "loss_val", "loss_eval"),
        *("evaluation_loss", "val/loss_epoch", "lm_loss_validation", "eval_loss_epoch"),
        *("loss/val", "loss/eval", "loss/validation", "losses/val", "losses/eval"),
        *("full_valid_loss", "eval_epoch_loss", "val_epoch_avg_loss", "evaluation/loss"),
        *("eval_gpt_loss", "eval_nll", "eval/nll", "val_nll", "val/nll", "valid_nll"),
        *("eval/languagecrossentropy", "metrics/eval/languagecrossentropy"),
        *("valid/nll", "validation_nll", "validation/nll", "dev_nll", "dev/nll"),
    ),
    "learning_rate": (
        *("learning_rate_0", "lr_adamw", "lr_adam", "lr_sgd", "lr_adamw/pg1", "lr_adam/pg1"),
        *("optim/lr", "lr_scheduler/lr", "lr/default", "optimizer/lr", "train_lr", "lr_pg_0"),
        "lr_decoupledadamw/group0",
    ),
    "grad_norm": (
        *("gradient_norm", "gradnorm", "grad_norm_step", "total_norm", "global_grad_norm"),
        *("grad/norm", "optim/grad_norm", "gradient/norm", "grad_2.0_norm_total"),
        *("gnorm", "grad._norm", "l2_norm/grad/global"),
    ),
    "mean_token_accuracy": ("token_accuracy", "mean_token_acc", "next_token_accuracy"),
    "entropy": ("token_entropy", "mean_entropy"),
    "epoch": ("epochs", "current_epoch", "training_epoch", "progress_or_epoch"),
    "max_steps": ("total_steps", "max_iterations", "total_iterations", "num_steps"),
}
"""The Trainer's name to the others, in lower case with underscores."""

STEPS = (
    *("train/global_step", "trainer/global_step", "global_step", "current_steps"),
    *("global_step/max_steps", "optimizer_step", "opt_step", "train_step", "train/step", "step"),
    *("steps", "num_updates"),
    *("current_step", "iteration", "iterations", "iter", "training_iteration", "_step"),
)
"""Columns of steps, the surest first: the Trainer's own before a tool's count of log calls."""

OWN_COUNT = frozenset({"_step", "training_iteration", "iter"})
"""Those that count something else than optimizer steps: log calls, reports, micro-batches."""

_NATS: Mapping[str, tuple[str, Callable[[float], float]]] = {
    **dict.fromkeys(("ppl", "perplexity"), ("loss", lambda number: log(number) if number else nan)),
    "lr(1e_3)": ("learning_rate", lambda number: number / 1000),
}
"""What is logged by another measure than the Trainer's: its metric, and the number in nats or 1.
A perplexity is e to the mean loss a token (transformers, OpenNMT, fairseq); verl logs thousandths
of a rate."""

MEANS = frozenset({"avr_loss", "avg_loss", "running_loss"})
"""Losses that are means over the steps so far."""

KNOWN = ("step", *NAMES)
"""What ``--columns`` may name."""

_TRAIN = ("train/", "training/", "train_", "train.")
_EVAL = ("eval/", "val/", "valid/", "validation/", "dev/", "val_", "valid_", "validation_", "eval.")
_LOSSES = frozenset({"loss", "eval_loss", "train_loss"})
_CLOSING = ("loss", "runtime", "samples_per_second", "steps_per_second", "tokens_per_second")
"""What the Trainer's closing row calls train_*: the means of the whole run."""

_LOOKUP = LOGGED | {other: name for name, others in NAMES.items() for other in (name, *others)}

_CHART = re.compile(r"^.{1,200} - (?=(?:(?! - ).)+$)")
"""Before a metric's name in what W&B exports of a chart: the run's name."""


def plain(name: str) -> str:
    """Return a name in lower case with underscores, without a W&B chart's run."""
    return _CHART.sub("", name.strip()).lower().replace(" ", "_").replace("-", "_")


def canonical(name: str) -> str | None:
    """Return the Trainer's name for a tool's; None for what the table does not know.

    Examples:
        >>> canonical("train/loss"), canonical("Validation Loss"), canonical("lr-AdamW")
        ('loss', 'eval_loss', 'learning_rate')
        >>> canonical("eval_code_loss"), canonical("train/train_loss"), canonical("gpu")
        ('eval_code_loss', 'train_loss', None)
    """
    key = plain(name)
    if (known := _LOOKUP.get(key)) is not None:
        return known
    if key.startswith("eval_") or key in ("train_loss", "train_runtime", "total_flos"):
        return key
    if key != name and objective_of((key,)) is not None:
        # Model cards write it with a capital: it says that the loss is of something else.
        return key
    for split in _EVAL:
        if key.startswith(split):
            return f"eval_{key[len(split) :]}"
    for split in _TRAIN:
        if key.startswith(split):
            rest = key[len(split) :]
            if split == "train_" and rest in _CLOSING:
                return key
            return canonical(rest) if rest != key else None
    return None


def measured(name: str) -> tuple[str, Callable[[float], float]] | None:
    """Return the Trainer's metric that a column tells by another measure, and how it is turned.

    Examples:
        >>> name, turned = measured("Validation PPL") or ("", float)
        >>> name, turned(1.0), measured("validation loss")
        ('eval_loss', 0.0, None)
    """
    key = plain(name)
    if key in _NATS:
        return _NATS[key]
    for splits, before in (((*_EVAL, "eval_"), "eval_"), (_TRAIN, "")):
        for split in splits:
            if key.startswith(split) and (told := _NATS.get(key[len(split) :])) is not None:
                return before + told[0], told[1]
    return None


@lru_cache(maxsize=1024)
def meaning(name: str) -> str | None:
    """Return the Trainer's metric that a column tells, by its measure or another; None if unknown.

    Examples:
        >>> meaning("Validation PPL"), meaning("train/loss"), meaning("gpu")
        ('eval_loss', 'loss', None)
    """
    told = measured(name)
    return told[0] if told is not None else canonical(name)


def tells_loss(name: str) -> bool:
    """Return whether a column is a loss of training or evaluation, or tells one."""
    return meaning(name) in _LOSSES


def is_of_evaluation(name: str) -> bool:
    """Return whether a column is an evaluation's."""
    return (canonical(name) or "").startswith("eval_")


def given(arguments: Iterable[str]) -> dict[str, str]:
    """Return ``NAME=COLUMN`` arguments, several of them joined by commas, as a mapping.

    Raises:
        ConfigError: one is no such pair, or its name is none of :data:`KNOWN`.
    """
    own = {}
    for part in (part for argument in arguments for part in argument.split(",")):
        name, mark, column = (word.strip() for word in part.partition("="))
        if not mark or not column:
            raise ConfigError(f"--columns takes NAME=COLUMN, such as loss=my/loss; got {part!r}")
        own[name] = column
    return chosen(own, "--columns")


def chosen(own: object, named: str = "columns") -> dict[str, str]:
    """Return the Trainer's names to a log's, as a user chose them.

    Raises:
        ConfigError: they are no names, or one is none of :data:`KNOWN`.
    """
    pairs = own.items() if isinstance(own, Mapping) else ((None, own),)
    for name, column in pairs:
        if not isinstance(name, str) or not isinstance(column, str):
            raise ConfigError(f'{named} takes names, such as {{"loss": "my/loss"}}; got {own!r}')
        if name not in KNOWN and not name.startswith("eval_"):
            raise ConfigError(f"{named}: no metric {name!r}; expected {', '.join(KNOWN)}")
    return dict(pairs)


class Columns:
    """Reads a tool's rows under the Trainer's names, and remembers which it met.

    Args:
        own: the user's choice of columns, Trainer's name to column; wins over the table.

    Attributes:
        seen: every column met, to the Trainer's name; None for one that the table does not know.
        step_column: the column that the steps are taken from, or None so far.
        max_steps: the steps planned, where a row says so.
    """

    def __init__(self, own: Mapping[str, str] = EMPTY) -> None:
        self.own = {column: name for name, column in own.items()}
        self.seen: dict[str, str | None] = {}
        self.step_column: str | None = None
        self.max_steps: int | None = None
        self._rank = len(STEPS)
        self._taken: dict[str, str] = {}
        self._turned: dict[str, Callable[[float], float]] = {}
        self._read: set[str] = set()

    @property
    def perplexities(self) -> list[str]:
        """The columns of perplexities that the losses are taken from."""
        return [name for name in self._turned if name in self._read and self.seen[name] in _LOSSES]

    @property
    def means(self) -> str | None:
        """The column of the loss, where it is a mean over the steps so far."""
        name = self._taken.get("loss")
        return name if name is not None and plain(name) in MEANS else None

    def learn(self, names: Iterable[str]) -> None:
        """Take in the names of columns."""
        for name in names:
            if name not in self.seen:
                self._settle(name)

    def _settle(self, name: str) -> None:
        target = self.own.get(name)
        if target is None and name not in self.own:
            key = plain(name)
            if key in STEPS:
                if "step" not in self.own.values() and STEPS.index(key) < self._rank:
                    self._rank = STEPS.index(key)
                    if self.step_column is not None:
                        self.seen[self.step_column] = None
                    self.step_column, target = name, "step"
            elif not key.endswith(("__min", "__max")):
                target = self._meaning(name)
        if target == "step" and name in self.own:
            self.step_column = name
        first = self._taken.setdefault(target, name) if target else name
        if first != name:
            # Two columns for one metric: the user's, else one of its own name, else the first.
            better = name in self.own or (name == target and first not in self.own)
            better = better or (first in self._turned and name not in self._turned)
            if target != "step" and not better:
                target = self._beside(name)
            else:
                self.seen[first] = self._beside(first)
                self._taken[str(target)] = name
        self.seen[name] = target

    def _meaning(self, name: str) -> str | None:
        told = measured(name)
        if told is None:
            return canonical(name)
        self._turned[name] = told[1]
        return told[0]

    def take_as_curve(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Take ``train_loss`` for the loss of rows that have no other, and are no closing row.

        Returns:
            Whether they are such rows, which have to be read again then.
        """
        if "loss" in self.seen.values() or "train_loss" not in self.seen.values():
            return False
        if any(row.keys() & CLOSING_ROW for row in rows):
            return False
        self.seen |= {name: "loss" for name, of in self.seen.items() if of == "train_loss"}
        return True

    def row(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row under the Trainer's names; columns of no known metric keep theirs."""
        row: dict[str, Any] = {}
        unknown = {}
        self.learn(raw)
        for name, value in raw.items():
            target = self.seen[name]
            if value is None or value == "":
                continue
            if target is not None:
                row[target] = value if name not in self._turned else self._turn(name, value)
            elif plain(name) not in STEPS:
                unknown[name] = value
        for name, value in unknown.items():
            row.setdefault(name, value)
        if self._turned:
            if "loss" in row and self._of_evaluation(raw):
                del row["loss"]
            self._read |= {n for n in self._turned if n in raw and self.seen[n] in row}
        mean = "train_loss" in row and "loss" in self._taken and not row.keys() & CLOSING_ROW
        if mean and any(name.startswith("eval_") for name in row):
            # Over train rows at an evaluation, as nanoGPT makes it: no closing row.
            del row["train_loss"]
        if "step" in row:
            row["step"], planned = step_of(row["step"])
            self.max_steps = planned or self.max_steps
        if "max_steps" in row:
            self.max_steps = step_of(row.pop("max_steps"))[0] or self.max_steps
        return row

    def _beside(self, name: str) -> str | None:
        """Return what a column is beside the one that is taken: a perplexity is a score."""
        return canonical(name) if self._turned.pop(name, None) else None

    def _turn(self, name: str, value: Any) -> Any:
        number = as_float(value)
        return value if number is None or number < 0 else self._turned[name](number)

    def _of_evaluation(self, raw: Mapping[str, Any]) -> bool:
        """Return whether a row's perplexity is its evaluation's: it names no split, its loss does.

        The loss of the run itself would stand there in the same measure.
        """
        loss = self._taken["loss"]
        others = [name for name, of in self.seen.items() if of in ("eval_loss", "train_loss")]
        return plain(loss) in _NATS and any(
            raw.get(name) is not None and name not in self._turned for name in others
        )


def step_of(value: object) -> tuple[int | None, int | None]:
    """Return a step, and the steps planned where they stand behind it as in ``"4/24"``."""
    done, _, planned = str(value).partition("/")
    return _whole(done), _whole(planned)


def _whole(text: str) -> int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    # NaN compares false.
    return int(number) if 0 <= number <= MAX_STEPS else None
