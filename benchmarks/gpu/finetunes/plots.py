"""A picture for each fault: every run's losses, with its onset, first warning and stop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from math import ceil, isfinite
from pathlib import Path
from typing import Any

from benchmarks.gpu.finetunes.results import Result, Run
from benchmarks.gpu.finetunes.score import Scored

COLUMNS = 3
POINTS = 60
"""Of a curve at most: more cannot be told apart in a panel, and make the file large."""

HIGHEST = 3.0
"""Times the first train loss up to which losses are shown: one spike must not flatten the rest."""

UNDATED = {"Date": None, "Creator": None}
"""No day and no version in the file."""

DECIMALS = re.compile(r"-?\d+\.\d{2,}")
"""Numbers that are finer than a tenth of a point, which no screen shows."""


def draw(fault: str, scored: Sequence[Scored], runs: Sequence[Run], path: Path) -> None:
    """Draw all runs of a fault into one file, the same bytes each time."""
    import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore]

    mpl.use("svg" if path.suffix == ".svg" else "agg")
    mpl.rcParams.update({"svg.hashsalt": "sftdiag", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    ordered = sorted(scored, key=lambda s: (s.run.spec.method, s.run.spec.optim, _order(s)))
    columns = min(COLUMNS, len(ordered))
    rows = ceil(len(ordered) / columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4 * columns, 2.4 * rows), layout="constrained", squeeze=False
    )
    panels = [axis for line in axes for axis in line]
    for axis, one in zip(panels, ordered, strict=False):
        _panel(axis, one, _twin(one.run, runs))
    for axis in panels[len(ordered) :]:
        axis.axis("off")
    panels[0].legend(fontsize=6)
    figure.suptitle(fault)
    figure.savefig(path, metadata=UNDATED if path.suffix == ".svg" else None)
    pyplot.close(figure)
    if path.suffix == ".svg":
        path.write_text("".join(map(_shorter, path.read_text().splitlines(keepends=True))))


def _shorter(line: str) -> str:
    """Round what is drawn, but not what is written."""
    return line if "<text" in line else DECIMALS.sub(_rounded, line)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}"


def _order(scored: Scored) -> tuple[float, int, int]:
    spec = scored.run.spec
    return (spec.learning_rate, spec.rows, spec.seed)


def _panel(axis: Any, scored: Scored, twin: Run | None) -> None:
    spec, full, judged = scored.run.spec, scored.full, scored.judged
    if twin is not None:
        axis.plot(*thinned(twin.full.evaluations), color="0.7", label="healthy twin, eval")
    train = _train(full)
    axis.plot(*thinned(train), color="tab:blue", linewidth=0.7, label="train")
    axis.plot(*thinned(full.evaluations), color="tab:green", label="eval")
    for step, colour, line, label in (
        (scored.onset if scored.later else None, "0.4", ":", "onset"),
        (scored.detected, "tab:orange", "--", "first warning"),
        (judged.stop, "tab:red", "-", "stop"),
    ):
        if step is not None:
            axis.axvline(step, color=colour, linestyle=line, linewidth=1, label=label)
    first = next((loss for _, loss in train if isfinite(loss)), None)
    if first:
        axis.set_ylim(bottom=0, top=min(axis.get_ylim()[1], HIGHEST * first))
    primary = judged.primary
    harm = {True: "harm", False: "no harm", None: "harm not known"}[scored.harm]
    axis.set_title(
        f"{spec.method} {spec.optim} {spec.learning_rate:g}, {spec.rows} x {spec.epochs:g}, seed "
        f"{spec.seed}: {primary.code if primary else 'nothing'}, {harm}",
        fontsize=7,
    )


def _train(full: Result) -> list[tuple[int, float]]:
    return [(int(row["step"]), float(row["loss"])) for row in full.log if "loss" in row]


def thinned(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Return steps and values of every n-th finite point, at most POINTS of them and the last."""
    finite = [(step, round(value, 4)) for step, value in points if isfinite(value)]
    every = max(1, ceil(len(finite) / POINTS))
    kept = [*islice(finite, 0, None, every)]
    if finite and kept[-1] != finite[-1]:
        kept.append(finite[-1])
    return [step for step, _ in kept], [value for _, value in kept]


def _twin(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the healthy twin whose seed comes first."""
    twins = (
        other
        for other in runs
        if not other.faulty and not other.spec.trap and other.spec.twin == run.spec.twin
    )
    return min(twins, key=lambda twin: twin.spec.seed, default=None)
