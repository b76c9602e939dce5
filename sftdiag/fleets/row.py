"""Row: what one run's line says. Made where the run was read, so it holds plain values only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from sftdiag.findings import Finding, Report, Status
from sftdiag.live.stopping import nearest
from sftdiag.monitor import Monitor
from sftdiag.records import as_float
from sftdiag.report import spark
from sftdiag.signals.evaluations import Evaluation
from sftdiag.sources import TRAINER_STATE, Run, checkpoints
from sftdiag.values import Value

UNREADABLE = "unreadable"
"""The verdict on a run that cannot be read."""

VERDICTS = ("error", "warning", "info", "healthy", "inconclusive", UNREADABLE)
"""In the order of the table; among equals the one that wasted the most steps first."""

_HOUR = 3600.0


class Row(Value):
    """One run.

    Attributes:
        run: its path, below the one that was given.
        verdict: the report's, or ``"unreadable"``.
        code: of the primary finding, or None; ``name`` likewise.
        cause: id of the finding's first cause, where that is likely or confirmed; ``cause_name`` in
            the language asked for.
        onset_step: the step at which it began.
        last_step: the last step of the log.
        max_steps: the steps planned, or None.
        wasted_steps: steps since the onset.
        wasted_share: the same as a share of the steps done.
        wasted_gpu_hours: the same of the run's time, where the log has it; of one GPU where their
            number is not known.
        series: the evaluation series, with the best loss of sound weights and that one's step.
        checkpoint: the step of the checkpoint nearest the best evaluation, or None.
        reason: why it cannot be judged or read, or None.
        modified: when its log was last written, in seconds since 1970.
        curves: the train loss and that evaluation series as SVG paths over the same axes, for
            pages; no part of :meth:`to_dict`. A fleet that was read for its text is shown as a
            page too, from its object or the cache; drawing takes 0.8 % of what judging does.
    """

    run: str
    verdict: str
    code: str | None = None
    name: str | None = None
    cause: str | None = None
    cause_name: str | None = None
    onset_step: int | None = None
    last_step: int | None = None
    max_steps: int | None = None
    wasted_steps: int | None = None
    wasted_share: float | None = None
    wasted_gpu_hours: float | None = None
    series: str | None = None
    best_loss: float | None = None
    best_step: int | None = None
    checkpoint: int | None = None
    reason: str | None = None
    modified: float = 0.0
    curves: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return strict-JSON values."""
        return {name: value for name, value in super().to_dict().items() if name in COLUMNS}

    @property
    def order(self) -> tuple[int, int, str]:
        """A sorting key: the severest first, and of those the one that wasted the most."""
        return VERDICTS.index(self.verdict), -(self.wasted_steps or 0), self.run


COLUMNS = tuple(name for name in Row.fields if name != "curves")
"""What a row tells as data."""


def row_of(run: Run, monitor: Monitor, report: Report) -> Row:
    """Return the line of a run that was judged."""
    primary, summary = report.primary, report.summary
    wasted = share = hours = None
    if primary is not None and summary.last_step:
        wasted = max(0, summary.last_step - primary.onset_step)
        share = wasted / summary.last_step
        hours = _gpu_hours(run.entries, monitor.signals.context.world_size)
    cause = primary.causes[0] if primary is not None and _is_known(primary) else None
    # Where no weights were sound there is no best, and there are curves all the same.
    series, best = monitor.best_evaluation() or (monitor.signals.main_series, None)
    return Row(
        run=run.path,
        verdict=report.verdict,
        code=primary.code if primary is not None else None,
        name=primary.name if primary is not None else None,
        cause=cause.id if cause is not None else None,
        cause_name=cause.name if cause is not None else None,
        onset_step=primary.onset_step if primary is not None else None,
        last_step=summary.last_step,
        max_steps=summary.max_steps,
        wasted_steps=wasted,
        wasted_share=share,
        wasted_gpu_hours=hours * share if hours is not None and share is not None else None,
        series=series,
        best_loss=best.loss if best is not None else None,
        best_step=best.step if best is not None else None,
        checkpoint=_checkpoint(run, best, monitor.sound_until),
        reason=report.reason,
        curves=spark.drawn(report.curves, series),
    )


def unreadable(path: str, why: str) -> Row:
    """Return the line of a run that cannot be read."""
    return Row(path, UNREADABLE, reason=why)


def _checkpoint(run: Run, best: Evaluation | None, until: int | None) -> int | None:
    """Return the step of the sound checkpoint nearest the best evaluation."""
    read = run.format == TRAINER_STATE
    saved = run.checkpoints if read else checkpoints(_folder(run.path))
    return nearest(saved, best.step if best is not None else None, until)


def _is_known(finding: Finding) -> bool:
    """Return whether its first cause is more than a guess."""
    return bool(finding.causes) and finding.causes[0].status.value <= Status.LIKELY.value


def _gpu_hours(entries: Iterable[Mapping[str, Any]], processes: int | None) -> float | None:
    """Return the time of the whole run, as its closing row has it."""
    seconds = None
    for entry in entries:
        if "train_runtime" in entry:
            seconds = as_float(entry["train_runtime"])
    return None if seconds is None else seconds / _HOUR * (processes or 1)


def _folder(path: str) -> str:
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    in_checkpoint = os.path.basename(os.path.abspath(folder)).startswith("checkpoint-")
    return os.path.dirname(os.path.abspath(folder)) if in_checkpoint else folder
