"""The run's curves as a picture, by matplotlib (extra ``plot``)."""

from __future__ import annotations

from typing import Any

from sftdiag.errors import ConfigError
from sftdiag.findings import Report
from sftdiag.report.axis import axis_of
from sftdiag.report.one_line import summary_line
from sftdiag.report.reduced import reduced
from sftdiag.signals.course import Course

SIZE = (9.0, 6.0)
"""Inches of the picture, at 150 dots each."""


def save(report: Report, course: Course, path: str) -> None:
    """Write the losses, gradient norm and learning rate of a run as a picture.

    Raises:
        ConfigError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        told = "--plot needs matplotlib: pip install 'sftdiag[plot]'"
        raise ConfigError(told).keyed("needs_matplotlib") from None
    panels = [("loss", {"loss": course.loss, **course.evaluations})]
    panels += [("grad_norm", {"grad_norm": course.grad_norm})]
    panels += [("learning_rate", {"learning_rate": course.learning_rate})]
    shown = [(name, series) for name, series in panels if any(series.values())]
    # A figure of its own: pyplot would keep it, and choose a backend for the whole process.
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    heights = [3 if name == "loss" else 1 for name, _ in shown] or [1]
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axis, (name, series) in zip(axes[:, 0], shown, strict=False):
        _panel(axis, name, series)
    for axis in axes[:, 0]:
        _mark(axis, report)
    axes[0, 0].set_title(f"{report.source}: {summary_line(report)}", loc="left", fontsize="medium")
    axes[-1, 0].set_xlabel("step")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        told = f"{path}: cannot be written: {error}"
        raise ConfigError(told).keyed("unwritable", path=path, why=error) from None


def _panel(axis: Any, name: str, series: Any) -> None:
    for key, points in series.items():
        if points:
            kept = reduced(points)
            style = "o-" if key.startswith("eval") else "-"
            axis.plot([s for s, _ in kept], [v for _, v in kept], style, label=key, markersize=3)
    spans = axis_of(series.values(), linear=name == "learning_rate", ratios=name == "grad_norm")
    if spans.logarithmic:
        axis.set_yscale("log")
    else:
        axis.set_ylim(spans.low, spans.high)
    axis.set_ylabel(name)
    axis.grid(alpha=0.3)
    if len(series) > 1:
        axis.legend(frameon=False)


def _mark(axis: Any, report: Report) -> None:
    if report.primary is not None and report.primary.fired_step:
        axis.axvline(report.primary.onset_step, color="tab:red", linewidth=1)
        axis.axvline(report.primary.fired_step, color="tab:orange", linestyle="--", linewidth=1)
