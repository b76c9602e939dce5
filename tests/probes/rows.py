"""Rows as the probes write them."""

from __future__ import annotations

from typing import Any

from sftdiag.context import RunContext
from sftdiag.findings import Finding
from sftdiag.monitor import Monitor

STEADY = {
    "repetitive-output": {
        "prompts": 16,
        "greedy": 0.02,
        "greedy_error": 0.01,
        "sampled": 0.01,
        "sampled_error": 0.01,
        "reference": 0.01,
        "reference_error": 0.01,
        "distinct": 0.8,
        "distinct_error": 0.03,
        "reference_distinct": 0.9,
        "reference_distinct_error": 0.02,
    },
    "forgetting": {"texts": 16, "loss": 2.55, "before": 2.5, "rise": 0.05, "rise_error": 0.01},
    "unnatural-replies": {
        "prompts": 16,
        "ended": 0.95,
        "ended_error": 0.05,
        "end_probability": 0.9,
        "reference_ends": 1.0,
        "marked": 0.0,
        "marked_error": 0.0,
        "reference_marked": 0.0,
        "length": -0.1,
        "length_error": 0.1,
    },
}
"""What a sound model gives."""


def row(name: str, step: int, *, before: bool = False, **changed: float | None) -> dict[str, Any]:
    """Return a probe's row; a measure of None is left out."""
    measures = {k: v for k, v in {**STEADY[name], **changed}.items() if v is not None}
    flag = {"probe/before": 1.0} if before else {}
    return {"step": step, **flag, **{f"probe/{name}/{k}": v for k, v in measures.items()}}


def log_row(step: int, loss: float = 1.0, **more: float) -> dict[str, Any]:
    return {"step": step, "epoch": step / 100, "loss": loss, "learning_rate": 2e-5, **more}


def fed(rows: list[dict[str, Any]], max_steps: int | None = 100, **context: Any) -> Monitor:
    monitor = Monitor(RunContext(max_steps=max_steps, **context))
    for entry in rows:
        monitor.feed_entry(entry)
    return monitor


def fired(rows: list[dict[str, Any]], max_steps: int | None = 100) -> list[tuple[str, int, int]]:
    """Return (name, step it fired at, onset) of every finding."""
    return [(f.name, f.fired_step, f.onset_step) for f in findings(rows, max_steps)]


def findings(
    rows: list[dict[str, Any]], max_steps: int | None = 100, **context: Any
) -> tuple[Finding, ...]:
    return fed(rows, max_steps, **context).report().findings
