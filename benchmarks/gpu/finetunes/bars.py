"""What the stored runs must reach, base by base, and what they reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import NamedTuple

from benchmarks.gpu.finetunes.misses import BEST_WITHIN, best_is_kept
from benchmarks.gpu.finetunes.replay import Judged, agrees
from benchmarks.gpu.finetunes.results import Run
from benchmarks.gpu.finetunes.score import OVERFITTING, Scored

Healthy = Sequence[tuple[Run, Judged]]


@dataclass(frozen=True)
class Bars:
    """What must be reached.

    Attributes:
        runs: at least, half of them healthy.
        warned: share of the healthy runs that may be warned of untruly at any step.
        found: share of the harmful faults whose primary finding is right.
        explained: share of them whose first cause is right.
        early: median share of the run until a fault from the start is found.
        after_onset: the same of later faults, from their onset.
        saved: share of the GPU time that stopping saves, for faults from the start.
        saved_later: the same of what remains after the onset of later ones.
        named: share of all faults, harmful or not, that the primary finding or a check names; None
            where that is not asked for.
        checkpoints: the runs kept checkpoints.
    """

    runs: int
    warned: float
    found: float
    explained: float
    early: float
    after_onset: float
    saved: float
    saved_later: float
    named: float | None = None
    checkpoints: bool = True


FIRST = Bars(120, 0.01, 0.95, 0.90, 0.15, 0.10, 0.60, 0.80)
SECOND = Bars(150, 0.01, 0.95, 0.90, 0.08, 0.05, 0.75, 0.85, named=74 / 84, checkpoints=False)
"""As the issues state them."""


class Stopping(NamedTuple):
    """What stopping from a severity on does.

    Attributes:
        stop_on: the severity.
        healthy: healthy runs.
        stopped: of these, stopped.
        truly: of these, by a finding that is true of the run all the same.
        harmful: runs that a fault harmed.
        right: of these, stopped by a finding that names the fault.
        wrong: of these, stopped by another.
        saved: share of the GPU time, for faults from the start.
        saved_later: the same of what remains after the onset of later ones.
    """

    stop_on: str
    healthy: int
    stopped: int
    truly: int
    harmful: int
    right: int
    wrong: int
    saved: float | None
    saved_later: float | None


TRUE = "true"
"""How the reason of a warning begins that is true of a run that was taken for healthy."""


def stopping(
    stop_on: str, scored: Sequence[Scored], healthy: Healthy, reasons: Mapping[str, str]
) -> Stopping:
    """Return what stopping from a severity on does, given what it does to each run."""
    harmful = [s for s in scored if s.harm]
    stopped = [run.spec.name for run, said in healthy if said.stop is not None]
    ended = [s for s in harmful if s.judged.stop is not None]
    right = sum(s.found or s.named for s in ended)
    return Stopping(
        stop_on,
        len(healthy),
        len(stopped),
        sum(reasons.get(name, "").startswith(TRUE) for name in stopped),
        len(harmful),
        right,
        len(ended) - right,
        saved_share([s for s in harmful if not s.later]),
        saved_share([s for s in harmful if s.later]),
    )


class Reached(NamedTuple):
    """One line of what must be reached."""

    what: str
    reached: str
    holds: bool


def percent(value: float | None) -> str:
    """Return a share; a dash for none, ``never`` for infinity."""
    if value is None:
        return "-"
    return f"{value:.1%}" if isfinite(value) else "never"


def of(hits: int, count: int) -> str:
    """Return counts with their share."""
    return f"{hits} of {count} ({hits / count:.1%})" if count else "-"


def saved_share(scored: Sequence[Scored]) -> float | None:
    """Return the saved seconds as a share of those at stake, all runs together."""
    at_stake = sum(s.at_stake for s in scored)
    return sum(s.saved for s in scored) / at_stake if at_stake else None


def delay(scored: Sequence[Scored]) -> float | None:
    """Return the median delay; a run that was not detected counts as infinite."""
    return median(s.delay for s in scored) if scored else None


def reached(
    runs: Sequence[Run],
    scored: Sequence[Scored],
    healthy: Healthy,
    bars: Bars,
    reasons: Mapping[str, str],
) -> list[Reached]:
    """Return each line of what the issues ask for and whether it is reached."""
    harmful = [s for s in scored if s.harm]
    return [
        Reached(
            f"at least {bars.runs} runs, half of them healthy",
            f"{len(runs)}, {len(healthy)} healthy",
            len(runs) >= bars.runs and 2 * len(healthy) >= len(runs),
        ),
        *_of_healthy(healthy, bars, reasons),
        _share(
            f"right primary finding on {bars.found:.0%} of the harmful faults",
            [s.found for s in harmful],
            bars.found,
        ),
        _share(
            f"right first cause on {bars.explained:.0%} of them",
            [s.explained for s in harmful],
            bars.explained,
        ),
        *_in_time(harmful, bars),
        *(_kept(harmful) if bars.checkpoints else ()),
        *(_of_all_faults(runs, scored, bars.named) if bars.named is not None else ()),
    ]


def _of_healthy(healthy: Healthy, bars: Bars, reasons: Mapping[str, str]) -> list[Reached]:
    stopped = sum(said.stop is not None for _, said in healthy)
    warned = [run.spec.name for run, said in healthy if said.warned() is not None]
    truly = sum(reasons.get(name, "").startswith(TRUE) for name in warned)
    untruly = len(warned) - truly
    return [
        Reached(
            "no healthy run stopped", f"{stopped} of {len(healthy)}", bool(healthy) and not stopped
        ),
        Reached(
            f"at most {bars.warned * 100:.0f} in 100 healthy runs warned untruly at any step",
            of(untruly, len(healthy)) + (f"; {truly} truly" if truly else ""),
            bool(healthy) and untruly <= bars.warned * len(healthy),
        ),
    ]


def _share(what: str, hits: Sequence[bool], bound: float) -> Reached:
    return Reached(what, of(sum(hits), len(hits)), bool(hits) and sum(hits) >= bound * len(hits))


def _in_time(harmful: Sequence[Scored], bars: Bars) -> list[Reached]:
    start = [s for s in harmful if not s.later]
    later = [s for s in harmful if s.later]
    early, late = delay(start), delay(later)
    saved, saved_later = saved_share(start), saved_share(later)

    def most(value: float | None, bound: float) -> bool:
        return value is not None and value <= bound

    def least(value: float | None, bound: float) -> bool:
        return value is not None and value >= bound

    return [
        Reached(
            f"faults from the start: median detection in the first {bars.early:.0%} of the run",
            f"{percent(early)} ({len(start)} runs)",
            most(early, bars.early),
        ),
        Reached(
            f"later faults: median detection within {bars.after_onset:.0%} of the run after the "
            "onset",
            f"{percent(late)} ({len(later)} runs)",
            most(late, bars.after_onset),
        ),
        Reached(
            f"faults from the start: {bars.saved:.0%} of the GPU time saved by stopping",
            percent(saved),
            least(saved, bars.saved),
        ),
        Reached(
            f"later faults: {bars.saved_later:.0%} saved of what remained after the onset",
            percent(saved_later),
            least(saved_later, bars.saved_later),
        ),
    ]


def _kept(harmful: Sequence[Scored]) -> list[Reached]:
    overfit = [s for s in harmful if s.run.spec.fault in OVERFITTING]
    decided = [good for good in map(best_is_kept, overfit) if good is not None]
    return [
        Reached(
            f"overfitting, stopped: best kept checkpoint within {BEST_WITHIN:.0%} of the best",
            f"{of(sum(decided), len(decided))}; {len(overfit) - len(decided)} not stopped",
            bool(decided) and all(decided),
        )
    ]


def _of_all_faults(runs: Sequence[Run], scored: Sequence[Scored], bound: float) -> list[Reached]:
    watched = [(run, run.watched) for run in runs if run.watched is not None]
    same = [agrees(run, result) for run, result in watched]
    wrong = sum(s.wrong for s in scored)
    return [
        _share(
            f"{bound:.0%} of all faults, harmful or not, named by the primary finding or a check",
            [s.named for s in scored],
            bound,
        ),
        Reached(
            "no fault called by another's name",
            f"{wrong} of {len(scored)}",
            bool(scored) and not wrong,
        ),
        _share("what was said live is what the log says today, in all runs", same, 1.0),
    ]
