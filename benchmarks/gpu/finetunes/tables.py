"""The tables of docs/gpu.md, as Markdown lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from statistics import median

from benchmarks.gpu.finetunes.misses import BEST_WITHIN, Miss, best_is_kept
from benchmarks.gpu.finetunes.replay import Judged
from benchmarks.gpu.finetunes.results import Run
from benchmarks.gpu.finetunes.score import OVERFITTING, Scored

RUNS, FOUND, EXPLAINED, WARNED = 120, 0.95, 0.90, 0.01
EARLY, AFTER_ONSET = 0.15, 0.10
SAVED, SAVED_LATER = 0.60, 0.80
"""What the issue asks for."""

Healthy = Sequence[tuple[Run, Judged]]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


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


def must_reach(
    runs: Sequence[Run], scored: Sequence[Scored], healthy: Healthy, missed: Sequence[Miss]
) -> list[str]:
    """Return the table of what the issue asks for and what is reached."""
    harmful = [s for s in scored if s.harm]
    start = [s for s in harmful if not s.later]
    later = [s for s in harmful if s.later]
    found, explained = sum(s.found for s in harmful), sum(s.explained for s in harmful)
    stopped = sum(said.stop is not None for _, said in healthy)
    warned = sum(said.warned() is not None for _, said in healthy)
    overfit = [s for s in harmful if s.run.spec.fault in OVERFITTING]
    kept = [best_is_kept(s) for s in overfit]
    decided = [good for good in kept if good is not None]
    early, late = delay(start), delay(later)
    saved, saved_later = saved_share(start), saved_share(later)

    def row(what: str, reached: str, holds: object) -> tuple[str, str, str]:
        return what, reached, "yes" if holds else "**no**"

    def most(value: float | None, bound: float) -> bool:
        return value is not None and value <= bound

    def least(value: float | None, bound: float) -> bool:
        return value is not None and value >= bound

    rows = [
        row(
            f"at least {RUNS} runs, half of them healthy",
            f"{len(runs)}, {len(healthy)} healthy",
            len(runs) >= RUNS and 2 * len(healthy) >= len(runs),
        ),
        row("no healthy run stopped", f"{stopped} of {len(healthy)}", healthy and not stopped),
        row(
            "at most 1 in 100 healthy runs warned at any step",
            of(warned, len(healthy)),
            healthy and warned <= WARNED * len(healthy),
        ),
        row(
            f"right primary finding on {FOUND:.0%} of the harmful faults",
            of(found, len(harmful)),
            harmful and found >= FOUND * len(harmful),
        ),
        row(
            f"right first cause on {EXPLAINED:.0%} of them",
            of(explained, len(harmful)),
            harmful and explained >= EXPLAINED * len(harmful),
        ),
        row(
            f"faults from the start: median detection in the first {EARLY:.0%} of the run",
            f"{percent(early)} ({len(start)} runs)",
            most(early, EARLY),
        ),
        row(
            f"later faults: median detection within {AFTER_ONSET:.0%} of the run after the onset",
            f"{percent(late)} ({len(later)} runs)",
            most(late, AFTER_ONSET),
        ),
        row(
            f"faults from the start: {SAVED:.0%} of the GPU time saved by stopping",
            percent(saved),
            least(saved, SAVED),
        ),
        row(
            f"later faults: {SAVED_LATER:.0%} saved of what remained after the onset",
            percent(saved_later),
            least(saved_later, SAVED_LATER),
        ),
        row(
            f"overfitting, stopped: best kept checkpoint within {BEST_WITHIN:.0%} of the best",
            f"{of(sum(decided), len(decided))}; {len(overfit) - len(decided)} not stopped",
            decided and all(decided),
        ),
    ]
    return [
        *table(("must reach", "reached", "holds"), rows),
        f"What is missed: {len(missed)}, each with its reason below.",
        "",
    ]


def by_fault(scored: Sequence[Scored]) -> list[str]:
    """Return a row for each fault; all but the first two columns are of its harmful runs."""
    head: tuple[str, ...] = ("fault", "runs", "harmful", "found", "right first cause")
    head += ("first warning after",)
    head += ("stopped", "stop after", "GPU s without", "GPU s until the stop", "saved")
    faults: dict[str, list[Scored]] = {}
    for s in scored:
        faults.setdefault(s.run.spec.fault, []).append(s)
    rows = [_fault_row(fault, some) for fault, some in sorted(faults.items())]
    return table(head, [*rows, _fault_row("**all**", scored)])


def _fault_row(fault: str, scored: Sequence[Scored]) -> tuple[object, ...]:
    harmful = [s for s in scored if s.harm]
    if not harmful:
        return (fault, len(scored), 0, *["-"] * 8)
    stops = [s.judged.stop for s in harmful]
    shares = [
        max(0, stop - s.onset) / max(1, s.full.planned)
        for s, stop in zip(harmful, stops, strict=True)
        if stop is not None
    ]
    without = sum(s.full.seconds for s in harmful)
    return (
        fault,
        len(scored),
        len(harmful),
        sum(s.found for s in harmful),
        sum(s.explained for s in harmful),
        percent(delay(harmful)),
        len(shares),
        percent(median(shares) if shares else None),
        f"{without:.0f}",
        f"{without - sum(_spared(s) for s in harmful):.0f}",
        percent(saved_share(harmful)),
    )


def _spared(scored: Scored) -> float:
    """Return the seconds of the run after its stop."""
    stop = scored.judged.stop
    return 0.0 if stop is None else scored.full.seconds - scored.full.seconds_at(stop)


def each(scored: Sequence[Scored]) -> list[str]:
    """Return a row for each run with what was said when."""
    head: tuple[str, ...] = ("run", "said", "first cause", "onset", "first warning", "stop")
    head += ("GPU s", "saved")
    head += ("best kept, best eval loss",)
    return table(head, [_row(s) for s in sorted(scored, key=lambda s: s.run.spec.name)])


def _row(scored: Scored) -> tuple[object, ...]:
    primary, full = scored.judged.primary, scored.full
    cause = primary.causes[0].id if primary and primary.causes else "-"
    right = "" if scored.found else " (wrong)" if primary else ""
    wrong = "" if scored.explained or not scored.found else " (wrong)"
    best = " / ".join(map(_loss, scored.best)) if scored.best else "-"
    return (
        f"`{scored.run.spec.name}`",
        f"{primary.code if primary else 'nothing'}{right}",
        f"{cause}{wrong}",
        scored.onset,
        _when(scored, scored.detected),
        _when(scored, scored.judged.stop),
        f"{full.seconds:.0f}",
        percent(scored.saved / scored.at_stake if scored.at_stake else None),
        best,
    )


def _loss(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "none"


def _when(scored: Scored, step: int | None) -> str:
    """Return a step with its share of the run and its GPU second."""
    full = scored.full
    if step is None:
        return "never"
    if not full.steps:
        return "before the start"
    return f"{step} ({step / full.planned:.1%}, {full.seconds_at(step):.0f} s)"


def harmless(scored: Sequence[Scored]) -> list[str]:
    """Return the faulty runs that were not harmed, or of which that is not known."""
    rows = [
        (
            f"`{s.run.spec.name}`",
            s.unknown or "no harm",
            s.judged.said[0] or "nothing",
            _when(s, s.judged.warned()),
            _when(s, s.judged.stop),
        )
        for s in sorted(scored, key=lambda s: s.run.spec.name)
        if not s.harm
    ]
    return table(("run", "harm", "said", "first warning", "stop"), rows) if rows else ["None.", ""]


def by_trap(healthy: Healthy) -> list[str]:
    """Return a row for each kind of healthy run."""
    counts: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    stopped: Counter[str] = Counter()
    for run, said in healthy:
        kind = run.spec.trap or "plain"
        counts[kind] += 1
        warned[kind] += said.warned() is not None
        stopped[kind] += said.stop is not None
    rows = [(kind, counts[kind], warned[kind], stopped[kind]) for kind in sorted(counts)]
    total = ("**all**", len(healthy), warned.total(), stopped.total())
    return table(("healthy runs", "number", "warned at any step", "stopped"), [*rows, total])


def misses(missed: Sequence[Miss], reasons: Mapping[str, str]) -> list[str]:
    """Return what is missed with its reason."""
    rows = [(f"`{miss.name}`", miss.what, reasons.get(miss.name, "**none**")) for miss in missed]
    return table(("run", "what", "why"), rows) if rows else ["Nothing.", ""]
