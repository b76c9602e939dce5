"""Comparison: a run against a baseline, with what differs and which of the two is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag.comparisons import difference
from sftdiag.comparisons.difference import Difference
from sftdiag.context import RunContext
from sftdiag.signals.course import Course, Points
from sftdiag.values import EMPTY, Value

WORSE, BETTER, OTHER, ALIKE, UNKNOWN = "worse", "better", "different", "alike", "unknown"
"""What a comparison comes to. ``different``: apart beyond noise, but not in a way that says which
is better, such as a train loss that starts elsewhere. ``unknown``: too few values."""

FROM_THE_START = 0.4
"""Share of a gain that is there in the first tenth of a run whose loss is over other tokens: 0.4 to
0.65 where prompts are trained too (benchmarks/gpu/runs). A better rate gains later: 0.5 of a gain
of 16 % at ten times the rate is the most seen, and is within the noise of the evaluations."""

INCIDENTAL = frozenset(
    {"resumed_steps", "lost_state_steps", "stream_pass", "versions", "train_fingerprint"}
)
"""Settings that are no choice of the user's."""


class Comparison(Value):
    """A run against a baseline.

    Attributes:
        baseline: the baseline's source.
        run: the run's.
        outcome: ``"worse"``, ``"better"``, ``"different"``, ``"alike"`` or ``"unknown"``.
        decided_by: the measure behind the outcome, or None.
        differences: every measure that both runs have.
        settings: settings that are known of both and differ, as (baseline's, run's).
        other_rows: the evaluation rows are known to be others, so that their losses cannot be
            compared.
    """

    baseline: str
    run: str
    outcome: str
    decided_by: str | None
    differences: tuple[Difference, ...]
    settings: Mapping[str, tuple[Any, Any]] = EMPTY
    other_rows: bool = False

    def of(self, measure: str) -> Difference | None:
        """Return one measure, or None where the runs do not both have it."""
        return next((d for d in self.differences if d.measure == measure), None)


def compared(baseline: Course, run: Course) -> Comparison:
    """Hold a run against a baseline.

    The evaluation loss decides, as far as both have it on the same rows: the last one, then the
    best. Without it a higher train loss at the end is worse; a lower one alone is no gain. A run
    whose loss was lost where the baseline's was not is worse.
    """
    prints = (baseline.context.eval_fingerprint, run.context.eval_fingerprint)
    other_rows = None not in prints and prints[0] != prints[1]
    found = tuple(_differences(baseline, run, other_rows=other_rows))
    outcome, by = _outcome({d.measure: d for d in found}, baseline, run)
    settings = _settings(baseline.context, run.context)
    return Comparison(baseline.source, run.source, outcome, by, found, settings, other_rows)


def _differences(baseline: Course, run: Course, *, other_rows: bool) -> Iterator[Difference]:
    ends = ((baseline.loss, run.loss), (baseline.grad_norm, run.grad_norm))
    if not other_rows:
        series = _common_series(baseline, run)
        if series is not None:
            pair = baseline.evaluations[series], run.evaluations[series]
            yield from _of_evaluations(*pair)
    for measure, start, end in (
        ("loss_start", 0.0, difference.START),
        ("loss_end", difference.END, 1.0),
    ):
        levels = [difference.level(points, start, end) for points in ends[0]]
        found = difference.between(measure, levels[0], levels[1], difference.SEED_LOSS)
        if found is not None:
            yield _dated(found, *ends[0])
    norms = [difference.level(points, difference.END, 1.0) for points in ends[1]]
    found = difference.between("grad_norm", norms[0], norms[1], GRAD_NORM)
    if found is not None:
        yield found
    if baseline.steps_per_second and run.steps_per_second:
        change = run.steps_per_second / baseline.steps_per_second - 1
        yield Difference(
            "steps_per_second", baseline.steps_per_second, run.steps_per_second, change, SPEED
        )


GRAD_NORM = 0.25
"""Share by which gradient norms differ between seeds: they are noisy and say little alone."""

SPEED = 0.05
"""Share by which the speed of the same run on the same machine varies."""


def _of_evaluations(baseline: Points, run: Points) -> Iterator[Difference]:
    for measure, take in (
        ("eval_last", difference.last_evaluation),
        ("eval_best", difference.best_evaluation),
    ):
        found = difference.between(measure, take(baseline), take(run), difference.SEED_EVAL)
        if found is not None:
            yield _dated(found, baseline, run)


def _dated(found: Difference, baseline: Points, run: Points) -> Difference:
    if not found.beyond:
        return found
    since = difference.apart_since(baseline, run, found.beyond, found.margin)
    return found.replace(since_step=since)


def _common_series(baseline: Course, run: Course) -> str | None:
    common = [series for series in baseline.evaluations if series in run.evaluations]
    return "eval_loss" if "eval_loss" in common else next(iter(common), None)


def _outcome(
    found: Mapping[str, Difference], baseline: Course, run: Course
) -> tuple[str, str | None]:
    for measure, counts in (
        ("lost", (baseline.lost, run.lost)),
        ("zeros", (baseline.zeros, run.zeros)),
    ):
        if bool(counts[0]) != bool(counts[1]):
            return (WORSE if counts[1] else BETTER), measure
    start = found.get("loss_start")
    for measure in ("eval_last", "eval_best"):
        if measure in found and found[measure].beyond:
            if found[measure].beyond > 0:
                return WORSE, measure
            return _better(measure, found[measure], start)
    end = found.get("loss_end")
    if end is not None and end.beyond:
        if end.beyond > 0:
            return WORSE, "loss_end"
        # A lower train loss alone is no gain: rows may be learned by heart.
        return OTHER, "loss_end"
    if start is not None and start.beyond:
        return OTHER, "loss_start"
    return (ALIKE if {"eval_last", "loss_end"} & found.keys() else UNKNOWN), None


def _better(measure: str, found: Difference, start: Difference | None) -> tuple[str, str]:
    """Return better, but where most of the gain is there before much was learned.

    Then the loss is taken over other tokens, rows or another model, and levels say nothing.
    """
    if start is not None and start.beyond < 0 and start.change < FROM_THE_START * found.change:
        return OTHER, "loss_start"
    return BETTER, measure


def _settings(baseline: RunContext, run: RunContext) -> dict[str, tuple[Any, Any]]:
    found = {}
    for name in RunContext.fields:
        pair = getattr(baseline, name), getattr(run, name)
        if name not in INCIDENTAL and None not in pair and pair[0] != pair[1]:
            found[name] = pair
    return found
