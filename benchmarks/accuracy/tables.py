"""The tables of docs/accuracy.md, as Markdown lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.accuracy import crossval
from benchmarks.accuracy.runs import Judgement, Run
from benchmarks.accuracy.score import by_kind, interval, score
from benchmarks.accuracy.sick import LADDERS

Said = Mapping[str, Judgement]
"""What a judge said of each run, by its name."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def share(hits: int, count: int) -> str:
    """Return a rate with its counts and its 95 % interval."""
    if not count:
        return "-"
    low, high = interval(hits, count)
    return f"{hits} of {count} ({low:.1%} to {high:.1%})"


def number(value: float | None, form: str = "g") -> str:
    """Return a number, or a dash for none."""
    return "-" if value is None else format(value, form)


def against_others(runs: Sequence[Run], said: Mapping[str, Said]) -> list[str]:
    """Return the table of all judges on a set."""
    head: tuple[str, ...] = (
        "judge",
        "right at the end",
        "named at some step",
        "anything",
        "wrong first diagnosis",
    )
    head += ("false alarms, any step", "at the end", "delay, rows (share of the run)")
    rows = []
    for name, judgements in said.items():
        s = score(runs, judgements)
        late = f"{number(s.delay)} ({number(s.share, '.1%')})" if s.delays else "-"
        cells = (share(s.right, s.sick), s.seen, s.found, s.wrong)
        rows.append((name, *cells, share(s.alarmed, s.healthy), s.alarmed_at_end, late))
    return table(head, rows)


def misses(runs: Sequence[Run], said: Said) -> list[str]:
    """Return every sick run that is not named and every healthy one with an alarm."""
    rows = []
    for run in runs:
        verdict = said[run.name]
        if run.warn == "yes" and verdict.primary not in run.codes:
            rows.append((run.name, run.label, verdict.primary or "nothing"))
        elif run.warn == "no" and verdict.alarms:
            rows.append((run.name, run.label, ", ".join(a.code for a in verdict.alarms)))
    return table(("run", "label", "said"), rows) if rows else ["None.", ""]


def nothing_learned(runs: Sequence[Run], said: Said) -> list[str]:
    """Return which of the runs that learn nothing are named and which others are alarmed."""
    s = score(runs, said)
    between = [run for run in runs if run.warn == "either"]
    heard = sum(bool(said[run.name].alarms) for run in between)
    lines = [
        f"Learn nothing (test accuracy below 0.02): named {share(s.seen, s.sick)}. Learn (0.3 and "
        f"more): alarmed {share(s.alarmed, s.healthy)}. Between: alarmed {heard} of "
        f"{len(between)}.",
        "",
    ]
    rows = []
    for run in runs:
        losses = [row["loss"] for row in run.rows if "loss" in row]
        alarms = said[run.name].alarms
        if run.warn == "yes" or alarms:
            fall = f"{1 - losses[-1] / losses[0]:.1%}"
            words = ", ".join(f"{alarm.code} at step {alarm.step}" for alarm in alarms)
            what = {"yes": "learns nothing", "no": "learns"}.get(run.warn, "between")
            rows.append((run.name, what, fall, words or "nothing"))
    return lines + table(("fine-tune", "it", "loss fell by", "said"), rows)


def left_out(group: str, runs: Sequence[Run]) -> list[str]:
    """Return what is right when the constants are chosen without the run's own group."""
    right, sick, wrong, count, missed = crossval.leave_one_out(runs)
    return [
        f"Leave one {group} out, constants of crossval.GRIDS: right {share(right, sick)}; false "
        f"alarms and wrong diagnoses {wrong} of {count}. Not named: {', '.join(missed) or 'none'}.",
        "",
    ]


def by_detector(healthy: Sequence[Run], said: Said) -> list[str]:
    """Return the false-alarm rate of each detector on healthy runs."""
    counts: dict[str, int] = {}
    for run in healthy:
        for code in {alarm.code for alarm in said[run.name].alarms}:
            counts[code] = counts.get(code, 0) + 1
    rows = [(code, share(count, len(healthy))) for code, count in sorted(counts.items())]
    return table(("detector", "healthy runs with its alarm at any step"), rows)


def ladder(said: Mapping[str, Said], runs: Sequence[Run]) -> list[str]:
    """Return for each disease and size how many are named at some step, and how late."""
    rows = []
    kinds = by_kind(runs)
    for disease, steps in LADDERS.items():
        for size in steps.sizes:
            group = [run for run in kinds[disease] if run.size == size]
            cells = []
            for judgements in said.values():
                s = score(group, judgements)
                cells.append(f"{s.seen}/{s.sick}" + (f", {s.delay:g}" if s.delays else ""))
            rows.append((f"{disease}, {steps.unit}".rstrip(", "), f"{size:g}", *cells))
    return table(("disease", "size", *said), rows)
