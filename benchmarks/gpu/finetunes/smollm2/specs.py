"""One fine-tune of the second base, and what names each of its faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.finetunes import matrix

BASE = "smollm2-135m-instruct"

CAUSES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    **matrix.CAUSES,
    **{
        fault: (frozenset(f"SFT{code}" for code in codes.split()), frozenset(causes.split()))
        for fault, (codes, causes) in {
            "accumulation": ("111", "not-divided-by-accumulation"),
            "answers-of-others": ("419 404 101", "label-misalignment poor-data"),
            "answers-cut": ("408 403 402", "answers-truncated label-mask"),
            "bf16-tiny-rate": ("509 101 501", "quantization-or-dtype learning-rate-too-low"),
            "clip": ("512 101", "optimizer-settings learning-rate-too-low vanishing-gradient"),
            "adam": ("512 101", "optimizer-settings learning-rate-too-low vanishing-gradient"),
            "content-left-out": ("424 421", "chat-template"),
            "contradictory": ("417 416", "poor-data low-diversity-data"),
            "duplicates": ("416 202 201", "low-diversity-data overfitting"),
            "empty-answers": ("421", "poor-data empty-answers"),
            "end-of-turn": ("406 409", "chat-template label-mask"),
            "eval-in-train": ("413", "eval-leak"),
            "mask-inverted": ("422 405", "label-mask"),
            "outside-optimizer": ("515 510 101", "frozen-parameters optimizer-state"),
            "packing-wrapped": ("412", "packing"),
            "padding-trained": ("418", "padding-in-labels"),
            "rate-spike": ("102 104 105 109 116", "learning-rate-too-high schedule data-order"),
            "rate-zero": ("501 101 513", "learning-rate-too-low schedule"),
            "regularization": ("511 101", "regularization"),
            "schedule-early": ("513 101", "schedule learning-rate-too-low"),
            "shard-returns": ("105 104 102 108", "data-order poor-data"),
            "warmup": ("508 513 501", "schedule learning-rate-too-low warmup"),
            "weights-not-loaded": ("111 108 101", "weights-not-loaded"),
            "wrong-template": ("410", "chat-template"),
        }.items()
    },
}
"""Fault: the codes that name it, and the causes that explain it."""


@dataclass(frozen=True)
class Tune(matrix.Spec):
    """One fine-tune of the second base.

    Attributes:
        kind: which of several forms the fault takes, by the names of ``rows.py`` and ``train.py``.
        form: ``messages`` (answers only, by the template's marks), ``pairs`` (prompt and completion
            as turns), ``plain`` (as text), ``tokens`` (with labels), ``packed`` or ``text``.
        turns: conversations that are joined to one row.
        others: further evaluation sets, by source, beside the run's own.
        more: further arguments of SFTConfig.
        base: of which model.
    """

    kind: str = ""
    form: str = "messages"
    turns: int = 1
    others: tuple[str, ...] = ()
    more: tuple[tuple[str, Any], ...] = ()
    base: str = BASE
    rows: int = 1000
    source: str = "words"
    eval_source: str = ""
    eval_rows: int = 96
    epochs: float = 1
    batch: int = 8
    learning_rate: float = 1e-4
    logging_steps: int = 2
    eval_steps: int = 12

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for tuples."""
        object.__setattr__(self, "others", tuple(self.others))
        object.__setattr__(self, "more", tuple((name, value) for name, value in self.more))

    @property
    def name(self) -> str:
        """Unique within the matrix; a file's name."""
        kind = self.fault if self.fault != matrix.NONE else f"healthy-{self.trap or 'plain'}"
        if self.kind:
            kind = f"{kind}-{self.kind}"
        size = f"{self.rows}x{self.epochs:g}" + (f"t{self.turns}" if self.turns > 1 else "")
        rate = f"{self.optim.partition('_')[0]}-{self.learning_rate:g}"
        return (
            f"{kind}.{self.method}.{self.form}.{self.source}.{size}."
            f"b{self.batch * self.accumulation}.{rate}.log{self.logging_steps}.s{self.seed}"
        )

    @property
    def steps(self) -> int:
        """Optimizer steps, but for the last batches of an epoch."""
        packed = 9 if self.form == "packed" else 1
        return int(self.rows * self.epochs) // (self.batch * self.accumulation * packed)

    @property
    def twin(self) -> Mapping[str, Any]:
        """What a plain healthy run must share with this one to be its twin."""
        same = ("method", "rows", "source", "optim", "turns")
        # Tokens with labels hold what messages become.
        form = "messages" if self.form == "tokens" else self.form
        return {"form": form, **{key: getattr(self, key) for key in same}}

    @property
    def named(self) -> tuple[frozenset[str], frozenset[str]]:
        """The codes that name the fault, and the causes that explain it."""
        return CAUSES[self.fault]
