"""From judgements to rates: what is right, what is wrong, how late, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.accuracy.runs import Judgement, Run
from sftdiag.checks._shares import interval as wilson


class Score(NamedTuple):
    """How a judge did on a set.

    Attributes:
        sick: runs that should warn; ``right``: their first diagnosis at the end names the disease;
            ``seen``: it was named at some step; ``found``: anything was said; ``wrong``: the first
            diagnosis is of another disease.
        healthy: runs that should not warn; ``alarmed``: those with an alarm at any step;
            ``alarmed_at_end``: those that are called sick at the end.
        delays: from the onset to the first right alarm, in rows; ``shares``: as shares of the run.
    """

    sick: int
    right: int
    seen: int
    found: int
    wrong: int
    healthy: int
    alarmed: int
    alarmed_at_end: int
    delays: tuple[int, ...]
    shares: tuple[float, ...]

    @property
    def delay(self) -> float | None:
        """The median delay in rows."""
        return median(self.delays) if self.delays else None

    @property
    def share(self) -> float | None:
        """The median delay as a share of the run."""
        return median(self.shares) if self.shares else None


def score(runs: Iterable[Run], judgements: Mapping[str, Judgement]) -> Score:
    """Return how the judge did on these runs."""
    counts = dict.fromkeys(Score._fields[:-2], 0)
    delays, shares = [], []
    for run in runs:
        said = judgements[run.name]
        if run.warn == "no":
            counts["healthy"] += 1
            counts["alarmed"] += bool(said.alarms)
            counts["alarmed_at_end"] += said.primary is not None
        elif run.warn == "yes":
            named = [alarm.step for alarm in said.alarms if alarm.code in run.codes]
            counts["sick"] += 1
            counts["right"] += said.primary in run.codes
            counts["seen"] += bool(named)
            counts["found"] += bool(said.alarms)
            counts["wrong"] += said.primary is not None and said.primary not in run.codes
            if named and run.onset is not None:
                late = _train_rows_between(run, run.onset, named[0])
                delays.append(late)
                shares.append(max(0, named[0] - run.onset) / max(1, run.last_step))
    return Score(**counts, delays=tuple(delays), shares=tuple(shares))


def _train_rows_between(run: Run, first: int, last: int) -> int:
    return sum(first < row["step"] <= last for row in run.rows if "loss" in row and "step" in row)


def interval(hits: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a rate."""
    return wilson(hits, count) if count else (0.0, 1.0)


def by_kind(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each kind, in their order."""
    kinds: dict[str, list[Run]] = {}
    for run in runs:
        kinds.setdefault(run.kind, []).append(run)
    return kinds
