"""The figures of OverfitGuard's protocol on its simulated histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from multiprocessing import Pool
from statistics import median
from typing import NamedTuple

from benchmarks.accuracy import sets
from sftdiag.detectors import eval_loss_rising
from sftdiag.monitor import Monitor
from sftdiag.policy import Policy, Rule

POLICIES = {
    label: Policy(stop_on=Rule.parse({"eval-loss-rising": label}, "stop_on"))
    for label in ("warning", "info")
}
"""Stop at the first warning, or at the first word."""

PERSISTENT = (5, 10, 20)
"""Values tried of eval_loss_rising.PERSISTENT, which was chosen with this set in sight."""

SEEN = 0.975
"""Share of the overfit histories whose best evaluation a stop must have seen."""


class Case(NamedTuple):
    """A history: what it is, and the epoch at which each policy stops it."""

    group: str

    overfits: bool
    best: int
    length: int
    stops: dict[str, int]


def _case(task: tuple[int, sets.History]) -> Case:
    eval_loss_rising.PERSISTENT, history = task
    monitor = Monitor(history.run.context)
    stops: dict[str, int] = {}
    for row in history.run.rows:
        for finding in monitor.feed_entry(row):
            for label, policy in POLICIES.items():
                if policy.decide(finding).stop:
                    stops.setdefault(label, row["step"])
    overfits = history.run.warn == "yes"
    return Case(history.run.kind, overfits, history.best_step, history.length, stops)


def _late(cases: Sequence[Case]) -> tuple[float, float]:
    """Return the share of the overfit whose best a first word had seen, and its median delay."""
    sick = [case for case in cases if case.overfits]
    stops = [(case.stops["info"], case) for case in sick if "info" in case.stops]
    seen = sum(stop >= case.best for stop, case in stops) / max(1, len(sick))
    return seen, median((stop - case.best) / case.length for stop, case in stops)


def _left_out(tried: Mapping[int, Sequence[Case]]) -> list[Case]:
    """Return each group's cases by the value that is best on the other groups."""
    chosen: list[Case] = []
    groups = sorted({case.group for case in tried[PERSISTENT[0]]})
    for group in groups:

        def cost(value: int, group: str = group) -> tuple[bool, float]:
            seen, late = _late([case for case in tried[value] if case.group != group])
            return seen < SEEN, late

        best = min(PERSISTENT, key=cost)
        chosen += [case for case in tried[best] if case.group == group]
    return chosen


def lines() -> list[str]:
    """Return macro-F1 of the warning, and for both policies what a stop by them is worth."""
    histories = list(sets.overfitguard())
    shipped = eval_loss_rising.PERSISTENT
    tasks = [(value, history) for value in PERSISTENT for history in histories]
    with Pool() as pool:
        done = pool.map(_case, tasks, chunksize=10)
    tried = {
        value: done[index * len(histories) :][: len(histories)]
        for index, value in enumerate(PERSISTENT)
    }
    cases = tried[shipped]
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
    folds = len({case.group for case in cases})
    seen_share, late = _late(_left_out(tried))
    return [
        *text,
        "PERSISTENT in eval_loss_rising was chosen with this set in sight. Chosen anew for each of "
        f"{folds} groups on the other groups: best evaluation already seen in {seen_share:.1%}, "
        f"median delay {late:.1%}.",
        "",
    ]
