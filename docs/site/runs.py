"""The runs that the site draws: stored ones of the project, and generated ones where there is none.

A run is named by where it is from and the beginning of its name: ``examples:overfitting``,
``gpu:unshuffled.full`` (benchmarks/gpu/runs), ``smollm2:clip.full`` (below it), ``sick:spikes:3``
and ``healthy:near-zero`` (benchmarks/accuracy), ``ladder:steps skipped:1`` (its ladders),
``made:guard``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.accuracy import healthy, healthy_kinds, sick
from benchmarks.accuracy.ladders import power
from benchmarks.accuracy.ladders.rungs import Cell
from benchmarks.accuracy.runs import Run as Labelled
from benchmarks.gpu.finetunes import matrix, replay, results
from benchmarks.gpu.finetunes.matrix import NONE, Spec
from benchmarks.gpu.finetunes.smollm2 import specs
from sftdiag.api import analyze
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import Report
from sftdiag.monitor import Monitor
from sftdiag.report import chart
from sftdiag.report.page import words_of_pages
from sftdiag.signals.course import Course, course_of
from sftdiag.sources import open_run

ROOT = Path(__file__).resolve().parents[2]
STORED = {
    "gpu": ROOT / "benchmarks" / "gpu" / "runs",
    "smollm2": ROOT / "benchmarks" / "gpu" / "runs" / "smollm2",
}

SEED = 3
"""Of the generated runs."""

LADDER_ROWS = 50
"""Rows of a run from a ladder: enough to see its course."""


class Shown(NamedTuple):
    """A run: its name, what it is, its series, and what is said of it by language."""

    name: str
    about: str
    course: Course
    reports: Mapping[str, Report]

    @property
    def report(self) -> Report:
        """What is said of it in English."""
        return self.reports["en"]

    def figure(self, caption: str) -> str:
        """Return its curves as markup without an empty line, with a caption (markup)."""
        words = words_of_pages("en")
        panels, marks = chart.of_course(self.report, self.course, words)
        if not panels:
            return ""
        drawn = chart.still(panels, marks, chart.title_of(self.name, panels, words))
        return f'<figure class="run">\n{drawn}\n<figcaption>{caption}</figcaption>\n</figure>'


@cache
def found(code: str) -> str | None:
    """Return the first stored run whose fault is named by a code and that shows it, or None."""
    for origin, folder in STORED.items():
        causes = specs.CAUSES if origin == "smollm2" else matrix.CAUSES
        faults = tuple(fault for fault, (codes, _) in causes.items() if code in codes)
        for path in sorted(folder.glob(f"*{results.ENDING}")):
            if not path.name.startswith(faults):
                continue
            name = f"{origin}:{path.name.rpartition('.s')[0]}"
            if any(finding.code == code for finding in shown(name).report.findings):
                return name
    return None


@cache
def shown(name: str) -> Shown:
    """Return a run.

    Raises:
        LookupError: there is none of this name.
    """
    origin, _, which = name.partition(":")
    if origin == "examples":
        return _example(which)
    if origin in STORED:
        return _stored(origin, which)
    return _generated(origin, which)


def _example(name: str) -> Shown:
    path = ROOT / "examples" / "runs" / name
    run = open_run(path)
    source = f"examples/runs/{name}"
    reports = {lang: analyze(path, lang=lang).replace(source=source) for lang in ("en", "zh")}
    course = course_of(source, run.entries, run.context)
    return Shown(source, f"the example run {name} of a tiny model", course, reports)


def _stored(origin: str, start: str) -> Shown:
    folder = STORED[origin]
    paths = sorted(folder.glob(f"{start}*{results.ENDING}"))
    if not paths:
        raise LookupError(f"no run in {folder} begins with {start}")
    # Watched runs end where they were stopped; the same run without a stop shows the whole course.
    path = next((path for path in paths if ".plain." in path.name), paths[0])
    data = results.read(path)
    spec, result = results.spec_of(data), results.Result(data)
    both = [results.Result(results.read(p)) for p in paths if p.name.startswith(f"{spec.name}.")]
    known = next((r for r in both if r.data["watched"]), result)
    run = results.Run(spec, result, known)
    source = str(path.relative_to(ROOT))
    reports = {
        lang: replay.of_run(run, run.full, None, lang).report.replace(source=source)
        for lang in ("en", "zh")
    }
    context = RunContext.from_dict(run.recorded("context"))
    course = course_of(source, run.full.log, context)
    return Shown(source, _about(origin, spec), course, reports)


def _about(origin: str, spec: Spec) -> str:
    base = "SmolLM2-135M" if origin == "smollm2" else "a small model"
    kind = f"fault {spec.fault}" if spec.fault != NONE else f"healthy, {spec.trap or 'plain'}"
    return (
        f"{kind}: a {spec.method} fine-tune of {base}, {spec.rows:,} rows, {spec.epochs:g} "
        f"{'epoch' if spec.epochs == 1 else 'epochs'}, batches of {spec.batch}, "
        f"{spec.optim.partition('_')[0]} at {spec.learning_rate:g}, seed {spec.seed}"
    )


def _generated(origin: str, which: str) -> Shown:
    kind, _, size = which.partition(":")
    if origin == "sick":
        run, about = sick.sick(SEED, kind, float(size), 0), f"generated: {kind} of size {size}"
    elif origin == "ladder":
        run = power.made(Cell(kind, float(size), LADDER_ROWS, 10, 0))
        about = f"generated: {kind} of size {size}"
    elif origin == "healthy":
        run, about = _healthy(kind, int(size or 0)), f"generated: healthy, {kind}"
    elif origin == "made":
        run, about = _made(kind), f"generated: {MADE[kind]}"
    else:
        raise LookupError(f"no runs of {origin}")
    reports = {lang: _judged(run, lang) for lang in ("en", "zh")}
    return Shown(run.name, about, course_of(run.name, run.rows, run.context), reports)


def _made(kind: str) -> Labelled:
    """Return the healthy example with rows of what a live run alone sees."""
    run = open_run(ROOT / "examples" / "runs" / "healthy")
    rows: list[dict[str, Any]] = [dict(entry) for entry in run.entries]
    if kind == "guard":
        told = {"guard/loss": 9.0, "guard/skipped": 3, "guard/level": 2.0, "guard/bound": 0.8}
        rows += [{"step": step, **told} for step in (20, 40, 60)]
    elif kind == "stall":
        rows += [{"step": 60, "stall/seconds": 700.0, "stall/usual": 2.0}]
    else:
        losses = [row["loss"] for row in rows if "loss" in row]
        between = [a + (b - a) * i / 8 for a, b in pairwise(losses) for i in range(8)]
        rows = [{"step": step, "loss": x} for step, x in enumerate(between, start=1)]
        for number, row in enumerate(rows):
            slow = 1.8 if number > len(rows) // 2 else 1.0
            row["loss"] *= 1 + 0.02 * (number * 7 % 5 - 2)
            row |= {"step_tokens": 4096, "step_seconds": slow + 0.01 * (number % 7)}
    rows.sort(key=lambda row: int(row["step"]))
    return Labelled(kind, kind, kind, "yes", rows, run.context.replace(max_steps=None))


MADE = {
    "guard": "the healthy example with three steps that a guard kept out of the weights",
    "stall": "the healthy example, standing still after step 60",
    "slow": "the healthy example over more steps, which take longer from the middle on",
}
"""Runs of :func:`_made`, and what they are."""


def _healthy(kind: str, again: int) -> Labelled:
    """Return a healthy run of a kind; the first of them, or one so many further."""
    if kind in healthy_kinds.KINDS:
        kinds = list(healthy_kinds.KINDS)
        return healthy_kinds.healthy_of_kind(SEED, kinds.index(kind) + again * len(kinds))
    return healthy.healthy(SEED, healthy.TRAPS.index(kind) + again * len(healthy.TRAPS))


def _judged(run: Labelled, lang: str) -> Report:
    monitor = Monitor(run.context, Settings(lang=lang), source=run.name)
    for row in run.rows:
        monitor.feed_entry(row)
    return monitor.report()


def told(run: Shown, code: str) -> Sequence[str]:
    """Return what a run's report says of a code, in both languages, as text."""
    found = []
    for report in run.reports.values():
        first = next((f for f in report.findings if f.code == code), None)
        if first is None:
            raise LookupError(f"{run.name} does not show {code}")
        found.append(first.message)
    return found


def caption(run: Shown) -> str:
    """Return what a run is, as markup."""
    return f"{escape(run.about)} (<code>{escape(run.name)}</code>)"
