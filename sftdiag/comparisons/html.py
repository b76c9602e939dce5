"""Runs against a baseline as a page: their curves overlaid, with the band that noise explains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from sftdiag.comparisons.difference import Difference
from sftdiag.comparisons.outcome import Comparison
from sftdiag.report import chart, svg
from sftdiag.report.comparison import because, words_of_comparisons
from sftdiag.report.full import setting
from sftdiag.report.page import page as framed
from sftdiag.report.page import table, words_of_pages
from sftdiag.report.reduced import Points, reduced
from sftdiag.signals.course import Course

MOST = 2_000
"""Points of a curve: several runs stand on a page that is sent around."""

MOST_EVALUATIONS = 3
"""Panels of evaluation losses: those that the baseline has first."""

BADGES = {"worse": "error", "better": "healthy", "different": "warning", "alike": "healthy"}
"""Classes of the style sheet; another outcome is inconclusive."""


def page(baseline: Course, runs: Sequence[tuple[Course, Comparison]], lang: str = "en") -> str:
    """Return the page.

    Args:
        baseline: the series of the baseline.
        runs: those of each run, with what it comes to against the baseline.
        lang: ``"en"`` or ``"zh"``.
    """
    words = {**words_of_pages(lang), **words_of_comparisons(lang)}
    sources = words["comma"].join(found.run for _, found in runs)
    title = words["title_of"].format(run=sources, baseline=baseline.source)
    body = [f"<h1>{escape(title)}</h1>"]
    body += [_verdict(found, words) for _, found in runs]
    body += _chart(baseline, runs, title, words)
    for _, found in runs:
        body += _measures(found, words, several=len(runs) > 1)
    return framed(title, "\n".join(body), lang)


def _verdict(found: Comparison, words: Mapping[str, Any]) -> str:
    badge = BADGES.get(found.outcome, "inconclusive")
    outcome = f'<span class="badge {badge}">{escape(words[found.outcome])}</span>'
    lines = [f"{escape(found.run + words['colon'])}{outcome}"]
    lines += [escape(line) for line in because(found, words)]
    return f"<p>{'<br>'.join(lines)}</p>"


def _measures(found: Comparison, words: Mapping[str, Any], *, several: bool) -> Iterator[str]:
    if several:
        yield f"<h2>{escape(found.run)}</h2>"
    heads = [words[n] for n in ("table", "baseline", "run", "change", "margin", "apart")]
    rows = [_row(difference, words) for difference in found.differences]
    if rows:
        yield table(heads, rows, range(1, 6), name=0)
    title = words["settings" if found.settings else "no_settings"]
    if not found.settings:
        yield f'<p class="dim">{escape(title)}</p>'
        return
    yield f"<h3>{escape(title)}</h3>"
    shown = [(n, setting(old), setting(new)) for n, (old, new) in found.settings.items()]
    heads = [words[n] for n in ("setting", "baseline", "run")]
    yield table(heads, [[escape(cell) for cell in row] for row in shown], name=0)


def _row(found: Difference, words: Mapping[str, Any]) -> list[str]:
    change = f"{found.change:+.1%}"
    since = f"{found.since_step:,}" if found.since_step is not None else ""
    return [
        escape(words[found.measure]),
        f"{found.baseline:.4g}",
        f"{found.run:.4g}",
        f"<strong>{change}</strong>" if found.beyond else change,
        f"±{found.margin:.1%}",
        since,
    ]


def _chart(
    baseline: Course,
    runs: Sequence[tuple[Course, Comparison]],
    title: str,
    words: Mapping[str, Any],
) -> list[str]:
    named = _named(baseline, [course for course, _ in runs], words)
    marks = []
    for (_, found), name in zip(runs, list(named)[1:], strict=True):
        decisive = found.of(found.decided_by or "")
        if decisive is not None and decisive.since_step is not None:
            label = words["since_mark"].format(run=name, step=decisive.since_step)
            marks.append(svg.Mark(decisive.since_step, "onset", label))
    marked = {mark.step for mark in marks}

    def panel(name: str, of: Mapping[str, Points], height: int, measure: str = "") -> svg.Panel:
        series = {run: reduced(points, marked, MOST) for run, points in of.items()}
        bands = {first: 1 + margin} if (margin := _margin(runs, measure)) else {}
        linear = name == "learning_rate"
        return svg.Panel(name, series, height, linear=linear, bands=bands)

    first = next(iter(named))
    losses = {name: course.loss for name, course in named.items()}
    panels = [panel("loss", losses, chart.TALL, "loss_end")]
    for series in list(baseline.evaluations)[:MOST_EVALUATIONS]:
        of = {name: course.evaluations.get(series, ()) for name, course in named.items()}
        panels.append(panel(series, of, chart.TALL, "eval_last"))
    norms = {name: course.grad_norm for name, course in named.items()}
    rates = {name: course.learning_rate for name, course in named.items()}
    panels += [panel("grad_norm", norms, chart.LOW), panel("learning_rate", rates, chart.LOW)]
    panels = [one for one in panels if one.series]
    if not panels:
        return []
    drawn = list(chart.live(panels, marks, title, words, overlaid=True))
    if any(one.bands for one in panels):
        drawn.append(f'<p class="dim">{escape(words["band"])}</p>')
    return drawn


def _margin(runs: Sequence[tuple[Course, Comparison]], measure: str) -> float:
    """Return by how much runs may differ from the baseline by noise and seed: the widest."""
    found = [comparison.of(measure) for _, comparison in runs]
    return max((difference.margin for difference in found if difference is not None), default=0.0)


def _named(baseline: Course, runs: Sequence[Course], words: Mapping[str, Any]) -> dict[str, Course]:
    """Return the runs by names that differ, the baseline first."""
    named = {words["baseline_named"].format(run=baseline.source): baseline}
    for number, course in enumerate(runs, start=1):
        taken = course.source in named
        named[f"{course.source} ({number})" if taken else course.source] = course
    return named
