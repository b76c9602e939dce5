"""Synthetic logs: curves with seeded noise, as rows of log_history."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sftdiag.context import RunContext
from sftdiag.findings import Finding, Report
from sftdiag.monitor import Monitor
from sftdiag.records import parse_entry
from sftdiag.signals.stream import Signals

Row = dict[str, Any]


def decay(step: int, steps: int, start: float = 3.0, floor: float = 1.0) -> float:
    return floor + (start - floor) * math.exp(-5 * step / steps)


def train_rows(losses: Iterable[float], **constant: Any) -> list[Row]:
    return [
        {"step": step, "epoch": step / 100, "loss": loss, **constant}
        for step, loss in enumerate(losses, start=1)
    ]


def noisy(values: Iterable[float], share: float, seed: int = 0) -> list[float]:
    draw = random.Random(seed)
    return [value * draw.gauss(1.0, share) for value in values]


def healthy(steps: int = 200, every: int = 20, noise: float = 0.03, seed: int = 0) -> list[Row]:
    losses = noisy([decay(step, steps) for step in range(1, steps + 1)], noise, seed)
    rows: list[Row] = []
    for row in train_rows(losses, learning_rate=2e-5, grad_norm=1.0):
        rows.append(row)
        if row["step"] % every == 0:
            loss = decay(row["step"], steps) * random.Random(row["step"] + seed).gauss(1.02, 0.003)
            rows.append({"step": row["step"], "epoch": row["epoch"], "eval_loss": loss})
    return rows


def overfitting(
    steps: int = 200, every: int = 20, turn: int = 60, rise: float = 0.004
) -> list[Row]:
    rows = []
    for row in healthy(steps, every):
        if "eval_loss" in row:
            after = max(0, row["step"] - turn)
            row = {**row, "eval_loss": 1.5 + abs(min(0, row["step"] - turn)) * 0.01 + after * rise}
        rows.append(row)
    return rows


def signals_of(rows: Iterable[Mapping[str, Any]]) -> Signals:
    """Return the signals of a log."""
    signals = Signals(RunContext())
    for row in rows:
        for record in parse_entry(row):
            signals.update(record)
    return signals


def feed(rows: Iterable[Mapping[str, Any]], context: RunContext | None = None) -> list[Finding]:
    """Return every change of a finding, in order."""
    monitor = Monitor(context)
    return [finding for row in rows for finding in monitor.feed_entry(row)]


def report_of(rows: Iterable[Mapping[str, Any]], context: RunContext | None = None) -> Report:
    """Return the report after all rows."""
    monitor = Monitor(context)
    for row in rows:
        monitor.feed_entry(row)
    return monitor.report()


def fired(
    rows: Iterable[Mapping[str, Any]], context: RunContext | None = None
) -> list[tuple[str, str, int]]:
    """Return (name, severity, step) of every firing and rise."""
    return [
        (f.name, f.severity.label, f.fired[f.severity.label])
        for f in feed(rows, context)
        if f.resolved_step is None
    ]


def write_state(path: Path, rows: list[Row], **top: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"log_history": rows, **top}))
    return path
