"""The tables of docs/gpu.md, as Markdown lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from statistics import median

from benchmarks.gpu.finetunes.bars import (
    Healthy,
    Reached,
    Stopping,
    delay,
    of,
    percent,
    saved_share,
)
from benchmarks.gpu.finetunes.misses import Miss
from benchmarks.gpu.finetunes.score import Scored

FIRST_BASE, SECOND_BASE = "Llama of 26 M", "SmolLM2-135M"

NUMBER = re.compile(r"\d+%?")
"""A bar in a line of what must be reached."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def must_reach(first: Sequence[Reached], second: Sequence[Reached] = ()) -> list[str]:
    """Return what must be reached, and what is: of one base, or of two side by side."""
    if not second:
        rows = [(line.what, line.reached, _yes(line)) for line in first]
        return table(("must reach", "reached", "holds"), rows)
    head = ("must reach", FIRST_BASE, "holds", SECOND_BASE, "holds")
    plain = {_unnumbered(line.what): line for line in first}
    sides = []
    for line in second:
        other = plain.pop(_unnumbered(line.what), None)
        bars = line.what if other is None or other.what == line.what else _both(other, line)
        left = ("-", "-") if other is None else (other.reached, _yes(other))
        sides.append((bars, *left, line.reached, _yes(line)))
    sides += [(line.what, line.reached, _yes(line), "-", "-") for line in plain.values()]
    return table(head, sides)


def _yes(line: Reached) -> str:
    return "yes" if line.holds else "**no**"


def _unnumbered(what: str) -> str:
    return NUMBER.sub("#", what)


def _both(first: Reached, second: Reached) -> str:
    """Return what must be reached with the second base's number behind the first's."""
    others = iter(NUMBER.findall(second.what))

    def joined(found: re.Match[str]) -> str:
        other = next(others)
        return found[0] if found[0] == other else f"{found[0]} / {other}"

    return NUMBER.sub(joined, first.what)


def stopping(bases: Mapping[str, Sequence[Stopping]]) -> list[str]:
    """Return what stopping from a severity on does, of each base."""
    head: tuple[str, ...] = ("base", "`stop_on`", "healthy runs stopped", "of these truly")
    head += ("harmful runs stopped", "by what names the fault", "by something else")
    head += ("saved, faults from the start", "saved after the onset of later ones")
    rows = [
        (
            base,
            f'`"{line.stop_on}"`',
            f"{line.stopped} of {line.healthy}",
            line.truly,
            of(line.right + line.wrong, line.harmful),
            line.right,
            line.wrong,
            percent(line.saved),
            percent(line.saved_later),
        )
        for base, lines in bases.items()
        for line in lines
    ]
    return table(head, rows)


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
    shares = [s.since_onset(s.judged.stop) for s in harmful if s.judged.stop is not None]
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


def later(scored: Sequence[Scored]) -> list[str]:
    """Return a row for each harmful run whose fault begins later: when it could be told, and was.

    Shares of the run, since the onset.
    """
    head: tuple[str, ...] = ("run", "onset", "next evaluation", "second evaluation")
    head += ("first warning", "stop")
    harmful = sorted((s for s in scored if s.harm and s.later), key=lambda s: s.run.spec.name)
    rows = []
    for s in harmful:
        after = [step for step, _ in s.full.evaluations if step > s.onset]
        first, second = [*after, None, None][:2]
        steps = (first, second, s.detected, s.judged.stop)
        rows.append((f"`{s.run.spec.name}`", s.onset, *(_since(s, step) for step in steps)))
    return table(head, rows)


def _since(scored: Scored, step: int | None) -> str:
    if step is None:
        return "never"
    return f"{step} ({scored.since_onset(step):.1%})"


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
