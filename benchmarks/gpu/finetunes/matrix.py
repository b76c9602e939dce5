"""The runs, and the rule that says which of them were harmed. Fixed before the first scored run.

But for the third seeds of the faults that begin later and QLoRA: they were added, before they were
run, once the bars of an error had been set with the others in sight. Bars that were set later, with
these in sight as well: COLLAPSE and WORTH_STOPPING of SFT201 and STANDS of SFT109.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from statistics import median, stdev
from typing import Any

HARM_DEVIATIONS = 3.0
HARM_LEAST = 0.1
"""A fault did harm where a final loss lies above its healthy twins' by more than three of their
seed-to-seed standard deviations and by at least 0.1; a loss that is not finite did harm, too."""

NONE = "none"


@dataclass(frozen=True)
class Spec:
    """One fine-tune. Everything but ``fault`` and ``seed`` is what its user would have written.

    Attributes:
        fault: what is wrong, by the names of CAUSES, or ``none``.
        trap: what makes a healthy run look odd.
        method: ``full``, ``lora`` or ``qlora``.
        rows: training rows; ``source`` says of which questions.
        ordered: the rows are taken as they stand.
        onset: share of the run at which the fault begins; 0 for the start.
    """

    fault: str = NONE
    trap: str = ""
    seed: int = 0
    method: str = "full"
    rows: int = 4000
    source: str = "wordnet"
    eval_source: str = "wordnet"
    eval_rows: int = 200
    epochs: float = 2
    batch: int = 16
    accumulation: int = 1
    learning_rate: float = 2e-4
    optim: str = "adamw_torch"
    scheduler: str = "cosine"
    warmup: float = 0.1
    ordered: bool = False
    grouped: bool = False
    logging_steps: int = 5
    eval_steps: int = 25
    onset: float = 0.0

    @property
    def name(self) -> str:
        """Unique within the matrix; a file's name."""
        kind = self.fault if self.fault != NONE else f"healthy-{self.trap or 'plain'}"
        rate = f"{self.learning_rate:g}"
        return (
            f"{kind}.{self.method}.{self.rows}x{self.epochs:g}.b{self.batch}."
            f"{self.optim.partition('_')[0]}-{rate}.log{self.logging_steps}.s{self.seed}"
        )

    @property
    def steps(self) -> int:
        """Optimizer steps, but for the last batches of an epoch."""
        return int(self.rows * self.epochs) // (self.batch * self.accumulation)

    @property
    def twin(self) -> Mapping[str, Any]:
        """What a plain healthy run must share with this one to be its twin."""
        return {key: getattr(self, key) for key in ("method", "rows", "source", "optim")}

    @property
    def named(self) -> tuple[frozenset[str], frozenset[str]]:
        """The codes that name the fault, and the causes that explain it."""
        return CAUSES[self.fault]

    def as_dict(self) -> dict[str, Any]:
        """Return all fields."""
        return asdict(self)


LORA: dict[str, Any] = {"method": "lora", "learning_rate": 1e-3}
QLORA: dict[str, Any] = {**LORA, "method": "qlora"}
SMALL: dict[str, Any] = {"rows": 400, "epochs": 4, "eval_steps": 10}
LARGE: dict[str, Any] = {"rows": 12_000, "epochs": 1, "eval_steps": 50, "logging_steps": 10}
ONE: dict[str, Any] = {"batch": 1, "rows": 600, "logging_steps": 10}
BATCH_1_RATE = 5e-5
"""Adam's noise grows as the rate over the root of the batch (Malladi et al. 2022): a quarter of the
rate that batches of 16 have. At 2e-4 itself the first two runs ended above their loss after 60 of
1200 steps: these are no traps, and are among the faults."""
FULL = Spec()

CAUSES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    fault: (frozenset(f"SFT{code}" for code in codes.split()), frozenset(causes.split()))
    for fault, (codes, causes) in {
        "overfitting": ("201 202 503", "overfitting too-many-epochs"),
        "late-rise": ("201 202 503", "overfitting too-many-epochs"),
        "learning-rate-too-high": ("102 103 104 106 109 101 501", "learning-rate-too-high"),
        "learning-rate-too-low": ("101 501", "learning-rate-too-low"),
        "all-masked": ("401 403 107", "label-mask"),
        "prompt-trained": ("405", "label-mask"),
        "misaligned": ("404 108", "label-misalignment"),
        "answers-of-others": ("419 404 101", "label-misalignment poor-data"),
        "eval-template": ("410 414 204 201", "chat-template eval-distribution"),
        "end-of-turn": ("406 409 303", "chat-template label-mask"),
        "frozen": ("101 510", "frozen-parameters"),
        "fp16": ("106 509 203", "quantization-or-dtype"),
        "lora-no-gradient": ("101", "vanishing-gradient frozen-parameters"),
        "eval-distribution": ("414 201 204", "eval-distribution"),
        "corrupted-shard": ("105 104 102 108", "data-order poor-data"),
        "unshuffled": ("420 102 104 105 201 414", "data-order eval-distribution"),
        "lost-optimizer": ("110 102 104 105 109", "optimizer-state learning-rate-too-high"),
    }.items()
}
"""Fault: the codes that name it, and the causes that explain it."""


def healthy() -> Iterator[Spec]:
    """Yield the healthy runs: twins of the faulty ones by seed, and traps."""
    for seed in range(5):
        yield replace(FULL, seed=seed, logging_steps=(5, 1, 10, 5, 20)[seed])
        yield replace(FULL, seed=seed, **LORA, logging_steps=(5, 10, 1, 5, 20)[seed])
        yield replace(FULL, seed=seed, **SMALL, logging_steps=(5, 1, 2, 5, 10)[seed])
    for seed in range(3):
        yield replace(FULL, seed=seed, **SMALL, **LORA)
        yield replace(FULL, seed=seed, **LARGE)
        yield replace(FULL, seed=seed, **LARGE, **LORA)
        yield replace(FULL, seed=seed, rows=64, epochs=5, eval_steps=4, logging_steps=1)
        yield replace(FULL, seed=seed, rows=1000, epochs=3, eval_steps=10)
        yield replace(FULL, seed=seed, trap="gentle", learning_rate=1e-4)
        yield replace(FULL, seed=seed, trap="accumulation", accumulation=4, batch=4)
        yield replace(FULL, seed=seed, optim="sgd", learning_rate=0.1)
        yield replace(FULL, seed=seed, trap="batch-1", **ONE, learning_rate=BATCH_1_RATE)
        yield replace(FULL, seed=seed, trap="tiny-eval", eval_rows=8, eval_steps=10)
        yield replace(FULL, seed=seed, trap="length-grouping", grouped=True, logging_steps=1)
        yield replace(FULL, seed=seed, trap="staircase", rows=1000, epochs=4, learning_rate=1e-4)
        yield replace(
            FULL, seed=seed, trap="plateau", epochs=4, learning_rate=3e-5, scheduler="constant"
        )
        yield replace(FULL, seed=seed, trap="restarts", scheduler="cosine_with_restarts")
        yield replace(FULL, seed=seed, trap="python", source="python", eval_source="python")
        yield replace(FULL, seed=seed, trap="resumed", onset=0.5)
        yield replace(FULL, seed=seed, trap="constant", scheduler="constant_with_warmup")
    for seed in range(2):
        yield replace(FULL, seed=seed, rows=600, eval_steps=10)
        yield replace(FULL, seed=seed, **SMALL, **QLORA)
        huge: dict[str, Any] = {
            "rows": 50_000,
            "epochs": 1,
            "batch": 64,
            "eval_steps": 100,
            "logging_steps": 10,
        }
        yield replace(FULL, seed=seed, **huge)
    for seed in range(3):
        yield replace(FULL, seed=seed, **QLORA)
    yield replace(FULL, trap="one-epoch-slow", epochs=1, learning_rate=3e-5, logging_steps=1)


def faulty() -> Iterator[Spec]:
    """Yield the runs with a fault."""
    for seed in range(3):
        for rows, epochs in ((64, 60), (400, 20), (1000, 12)):
            rate = 5e-4
            steps = max(1, rows * int(epochs) // 16 // 40)
            spec = replace(FULL, fault="overfitting", seed=seed, rows=rows, epochs=epochs)
            yield replace(spec, learning_rate=rate, eval_steps=steps, onset=0.1)
        yield replace(
            FULL, fault="overfitting", seed=seed, **{**SMALL, "epochs": 30}, **LORA, onset=0.1
        )
        yield replace(FULL, fault="late-rise", seed=seed, epochs=8, learning_rate=3e-4, onset=0.3)
    for level, rate in enumerate((1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0)):
        yield replace(FULL, fault="learning-rate-too-high", learning_rate=rate, seed=level % 2)
    for level, rate in enumerate((1.0, 3.0, 10.0, 30.0, 100.0, 300.0)):
        spec = replace(FULL, fault="learning-rate-too-high", optim="sgd", seed=level % 2)
        yield replace(spec, learning_rate=rate)
    for seed in range(2):
        yield replace(FULL, fault="learning-rate-too-high", **ONE, seed=seed)
    for rate in (3e-2, 0.3):
        yield replace(FULL, **{**LORA, "learning_rate": rate}, fault="learning-rate-too-high")
    for rate in (1e-8, 1e-7, 1e-6):
        yield replace(FULL, fault="learning-rate-too-low", learning_rate=rate)
        yield replace(
            FULL, **{**LORA, "learning_rate": rate}, fault="learning-rate-too-low", logging_steps=10
        )
    for fault in (
        "all-masked",
        "prompt-trained",
        "misaligned",
        "answers-of-others",
        "eval-template",
        "end-of-turn",
        "frozen",
        "fp16",
        "eval-distribution",
    ):
        odd: dict[str, Any] = {"eval_source": "python"} if fault == "eval-distribution" else {}
        yield replace(FULL, fault=fault, **odd)
        if fault not in ("frozen", "fp16"):
            yield replace(FULL, fault=fault, seed=1, **LORA, **odd)
    for seed in range(2):
        yield replace(FULL, fault="lora-no-gradient", seed=seed, **LORA)
    for seed in range(3):
        yield replace(FULL, fault="corrupted-shard", seed=seed, ordered=True, onset=0.4)
        yield replace(FULL, fault="unshuffled", seed=seed, ordered=True, epochs=1, onset=0.5)
        yield replace(FULL, fault="lost-optimizer", seed=seed, onset=0.5)
    for fault, rate in (("learning-rate-too-high", 3e-2), ("learning-rate-too-low", 1e-7)):
        yield replace(FULL, fault=fault, **{**QLORA, "learning_rate": rate})
    yield replace(FULL, fault="lora-no-gradient", **QLORA)
    yield replace(FULL, fault="overfitting", **{**SMALL, "epochs": 30}, **QLORA, onset=0.1)


def matrix() -> list[Spec]:
    """Return all runs, healthy and faulty in turn, so that any slice has both."""
    left, right = list(healthy()), list(faulty())
    mixed = [spec for pair in zip(left, right, strict=False) for spec in pair]
    short = min(len(left), len(right))
    return mixed + left[short:] + right[short:]


def harmed(losses: Mapping[str, float | None], twins: Sequence[Mapping[str, float]]) -> bool:
    """Say whether a run's final losses are above those of its healthy twins by the rule.

    Args:
        losses: ``eval_loss``, the last one logged, and ``held_out``, the loss of the answers to
            held-out questions, rendered and masked as they should be.
        twins: the same of at least two healthy twins of other seeds.
    """
    for name in ("eval_loss", "held_out"):
        loss = losses.get(name)
        if loss is None or not isfinite(loss):
            return True
        usual = [twin[name] for twin in twins]
        if loss - median(usual) > max(HARM_LEAST, HARM_DEVIATIONS * stdev(usual)):
            return True
    return False
