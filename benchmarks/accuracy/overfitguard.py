"""The figures of OverfitGuard's protocol on its simulated histories."""

from __future__ import annotations

from multiprocessing import Pool
from statistics import median
from typing import NamedTuple

from benchmarks.accuracy import sets
from sftdiag.monitor import Monitor
from sftdiag.policy import Policy, Rule

POLICIES = {
    label: Policy(stop_on=Rule.parse({"eval-loss-rising": label}, "stop_on"))
    for label in ("warning", "info")
}
"""Stop at the first warning, or at the first word."""


class Case(NamedTuple):
    """A history: what it is, and the epoch at which each policy stops it."""

    overfits: bool
    best: int
    length: int
    stops: dict[str, int]


def _case(history: sets.History) -> Case:
    monitor = Monitor(history.run.context)
    stops: dict[str, int] = {}
    for row in history.run.rows:
        for finding in monitor.feed_entry(row):
            for label, policy in POLICIES.items():
                if policy.decide(finding).stop:
                    stops.setdefault(label, row["step"])
    overfits = history.run.warn == "yes"
    return Case(overfits, history.best_step, history.length, stops)


def lines() -> list[str]:
    """Return macro-F1 of the warning, and for both policies what a stop by them is worth."""
    with Pool() as pool:
        cases = pool.map(_case, list(sets.overfitguard()), chunksize=10)
    sick = [case for case in cases if case.overfits]
    well = [case for case in cases if not case.overfits]
    right = sum("warning" in case.stops for case in sick)
    false = sum("warning" in case.stops for case in well)
    missed, quiet = len(sick) - right, len(well) - false
    f_sick = 2 * right / max(1, 2 * right + missed + false)
    f_well = 2 * quiet / max(1, 2 * quiet + missed + false)
    text = [
        f"Detection (a warning at any epoch): macro-F1 {(f_sick + f_well) / 2:.3f}; {right} of "
        f"{len(sick)} overfit histories, {false} of {len(well)} others.",
        "",
    ]
    for label in POLICIES:
        stops = [(case.stops[label], case) for case in sick if label in case.stops]
        seen = sum(stop >= case.best for stop, case in stops)
        late = median((stop - case.best) / case.length for stop, case in stops)
        others = sum(label in case.stops for case in well)
        text += [
            f'`stop_on={{"eval-loss-rising": "{label}"}}`: best evaluation already seen in {seen} '
            f"of {len(sick)}, median delay {late:.1%} of the run; stops {others} of {len(well)} "
            "others.",
            "",
        ]
    return [*text, "PERSISTENT in eval_loss_rising was chosen with this set in sight.", ""]
