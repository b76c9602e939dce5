"""The variants, and the four runs of each. Fixed before the first scored run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from benchmarks.gpu.finetunes.smollm2.specs import Tune
from benchmarks.gpu.finetunes.work import Group

AGAIN = "-again"
"""Ends the kind of the second run without sftdiag."""

HIGH = "learning-rate-too-high"


class Variant(NamedTuple):
    """A way to compute the step.

    Attributes:
        key: its runs' ``kind``.
        title: what the table calls it.
        more: arguments of SFTConfig.
        needs: a package that must be there.
        method: ``full`` or ``qlora``.
        guard: the watched runs have a guard.
    """

    key: str
    title: str
    more: dict[str, Any] = {}  # noqa: RUF012 - never changed
    needs: str = ""
    method: str = "full"
    guard: bool = False


FIXED: dict[str, Any] = {"pad_to_multiple_of": 128, "eval_strategy": "no"}
"""One shape, compiled once."""


def checkpointing(*, reentrant: bool) -> dict[str, Any]:
    """Return what turns gradient checkpointing on."""
    given = {"use_reentrant": reentrant}
    return {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": given}


FP16: dict[str, Any] = {"bf16": False, "fp16": True}

VARIANTS = (
    Variant("compiled", "`torch.compile`", {"torch_compile": True, **FIXED}),
    Variant("qlora", "QLoRA, 4 bits", needs="bitsandbytes", method="qlora"),
    Variant("bf16", "bf16, TRL's loss in chunks (its default)"),
    Variant("liger", "Liger kernels", {"use_liger_kernel": True}, needs="liger_kernel"),
    Variant("reentrant", "gradient checkpointing, re-entrant", checkpointing(reentrant=True)),
    Variant("not-reentrant", "gradient checkpointing, not so", checkpointing(reentrant=False)),
    Variant("fp16", "fp16 with its loss scaler", FP16),
    Variant("fp16-guarded", "fp16, `guard=True`", FP16, guard=True),
    Variant("padding-free", "padding-free, SDPA", {"padding_free": True, "max_length": None}),
    Variant("adamw-8bit", "8-bit AdamW", {"optim": "adamw_bnb_8bit"}, needs="bitsandbytes"),
)
"""The slowest first."""

FULL = Tune(rows=480, eval_rows=48, eval_steps=20, logging_steps=5)
QLORA = replace(FULL, method="qlora", learning_rate=5e-4)
"""Of 60 steps, at the rates of the second base's healthy runs."""

TOO_HIGH = {"full": 3e-2, "qlora": 0.1}


def runs(variant: Variant) -> Group:
    """Return a variant's runs, and whether each is watched."""
    base = QLORA if variant.method == "qlora" else FULL
    more = tuple(variant.more.items())
    optim = str(variant.more.get("optim", base.optim))
    healthy = replace(base, kind=variant.key, more=more, optim=optim)
    again = replace(healthy, kind=variant.key + AGAIN)
    faulty = replace(healthy, fault=HIGH, learning_rate=TOO_HIGH[variant.method])
    return [(healthy, False), (again, False), (healthy, True), (faulty, True)]


def variant_of(kind: str) -> Variant:
    """Return the variant of a run's ``kind``."""
    key = kind.removesuffix(AGAIN)
    return next(variant for variant in VARIANTS if variant.key == key)
