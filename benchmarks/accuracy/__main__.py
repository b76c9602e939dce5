"""How right, early and quiet sftdiag is on labelled sets, beside the rules and tools of others.

    python -m benchmarks.accuracy                    # without the peers, some minutes
    python -m benchmarks.accuracy --peers --write    # with them; writes docs/accuracy.md
    python -m benchmarks.accuracy --quick            # a minute; exit code 1 when a rate got worse

Needs numpy; the labelled logs are read from ``$SFTDIAG_CORPUS`` or ``../shared/corpus``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing import Pool
from pathlib import Path
from statistics import median

from benchmarks.accuracy import crossval, judges, peers, sets
from benchmarks.accuracy.runs import Judgement, Run
from benchmarks.accuracy.score import by_kind, interval, score
from benchmarks.accuracy.sick import LADDERS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"
PEER_HEALTHY, PEER_SICK = 140, 3
LEFT_OUT = {"real": "repository", "gpu": "fault"}
LIMITS = {"healthy alarms": 0.01, "real right": 0.9, "gpu right": 0.97, "wrong": 0.0}
"""What the quick version holds the rates to: the project's own targets."""

Said = Mapping[str, Judgement]


def judged(judge: Callable[[Run], Judgement], runs: Sequence[Run]) -> dict[str, Judgement]:
    """Return what a judge says of each run, on all cores."""
    with Pool() as pool:
        said = pool.map(judge, runs, chunksize=20)
    return {run.name: judgement for run, judgement in zip(runs, said, strict=True)}


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


def _overfitguard_case(history: sets.History) -> tuple[bool, bool, int | None, int, int]:
    """Return (overfits, called so, step of the first SFT201 of any severity, best, length)."""
    from sftdiag.monitor import Monitor

    monitor = Monitor(history.run.context)
    first: int | None = None
    called = False
    for row in history.run.rows:
        for finding in monitor.feed_entry(row):
            if finding.code == "SFT201":
                first = finding.fired_step if first is None else first
                called |= "warning" in finding.fired or "error" in finding.fired
    return history.run.warn == "yes", called, first, history.best_step, history.length


def overfitguard() -> list[str]:
    """Return the figures of OverfitGuard's protocol; no constant was chosen on it but one."""
    with Pool() as pool:
        cases = pool.map(_overfitguard_case, list(sets.overfitguard()), chunksize=10)
    right = sum(case[0] and case[1] for case in cases)
    missed = sum(case[0] and not case[1] for case in cases)
    false = sum(not case[0] and case[1] for case in cases)
    quiet = len(cases) - right - missed - false
    f_sick = 2 * right / max(1, 2 * right + missed + false)
    f_well = 2 * quiet / max(1, 2 * quiet + missed + false)
    stops = [(c[2], c[3], c[4]) for c in cases if c[0] and c[2] is not None]
    seen = sum(stop >= best for stop, best, _ in stops)
    late = median((stop - best) / length for stop, best, length in stops)
    told = sum(not case[0] and case[2] is not None for case in cases)
    return [
        f"Detection (a warning at any epoch): macro-F1 {(f_sick + f_well) / 2:.3f}; {right} of "
        f"{right + missed} overfit histories, {false} of {false + quiet} others.",
        "",
        f"Stopping at the first SFT201 of any severity: best evaluation already seen in "
        f"{seen} of {right + missed}, median delay {late:.1%} of the run; the info is also given "
        f"on {told} of {false + quiet} others. PERSISTENT in eval_loss_rising was chosen with "
        "this set in sight.",
        "",
    ]


def quick() -> int:
    """Score small sets; return 1 and say so when a rate is worse than its limit."""
    healthy = list(sets.generated_healthy(1_500))
    alarms = score(healthy, judged(judges.sftdiag, healthy))
    rates = {"healthy alarms": alarms.alarmed / alarms.healthy}
    wrong = 0
    if sets.corpus().is_dir():
        for name, runs in (("real", sets.real()), ("gpu", sets.gpu())):
            s = score(runs, judged(judges.sftdiag, runs))
            rates[f"{name} right"] = s.right / s.sick
            wrong += s.wrong + s.alarmed
    rates["wrong"] = float(wrong)
    bad = [
        name
        for name, rate in rates.items()
        if (rate < LIMITS[name] if "right" in name else rate > LIMITS[name])
    ]
    for name, rate in rates.items():
        print(f"{name}: {rate:.4f}, limit {LIMITS[name]:g}{'  WORSE' if name in bad else ''}")
    return 1 if bad else 0


def full(count: int, sick_count: int, with_peers: bool) -> list[str]:
    """Score everything and return the page's lines."""
    python = peers.prepare(Path(tempfile.gettempdir()) / "sftdiag-peers") if with_peers else None
    rules = {"never": judges.never, "always": judges.always, **judges.baselines()}
    lines = ["# Accuracy", "", "Printed by `python -m benchmarks.accuracy --peers --write`.", ""]
    lines += ["An alarm is a warning or worse. Rates carry their 95 % interval (Wilson).", ""]
    for title, runs in (("real", sets.real()), ("gpu", sets.gpu()), ("tiny", sets.tiny())):
        ours = judged(judges.sftdiag, runs)
        said: dict[str, Said] = {"sftdiag": ours}
        said |= {name: {run.name: rule(run) for run in runs} for name, rule in rules.items()}
        if python is not None:
            said |= peers.replay(python, runs)
        lines += [f"## {title}: {len(runs)} runs", "", *against_others(runs, said)]
        lines += ["Not named by sftdiag, or alarmed:", "", *misses(runs, ours)]
        if title in LEFT_OUT:
            lines += left_out(LEFT_OUT[title], runs)
    lines += ["## OverfitGuard, simulated", "", *overfitguard()]
    healthy = list(sets.generated_healthy(count))
    said_healthy = judged(judges.sftdiag, healthy)
    s = score(healthy, said_healthy)
    lines += [f"## Generated, healthy: alarms on {share(s.alarmed, s.healthy)}", ""]
    lines += by_detector(healthy, said_healthy)
    kinds = [
        (kind, share((r := score(group, said_healthy)).alarmed, r.healthy))
        for kind, group in by_kind(healthy).items()
    ]
    lines += table(("trap", "alarms of sftdiag at any step"), kinds)
    if python is not None:
        few = healthy[:PEER_HEALTHY]
        rates = peers.replay(python, few)
        rows = [(n, share((r := score(few, j)).alarmed, r.healthy)) for n, j in rates.items()]
        lines += table((f"peer, on the first {len(few)}", "alarms at any step"), rows)
    sick = list(sets.generated_sick(sick_count))
    ladders: dict[str, Said] = {"sftdiag": judged(judges.sftdiag, sick)}
    lines += ["## Generated, sick: named at some step, median delay in rows", ""]
    lines += ladder(ladders, sick)
    if python is not None:
        few = list(sets.generated_sick(PEER_SICK))
        ours = {run.name: ladders["sftdiag"][run.name] for run in few}
        lines += [f"The same with the peers, {PEER_SICK} runs a size.", ""]
        lines += ladder({"sftdiag": ours, **peers.replay(python, few)}, few)
    return lines


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute; fails on a worse rate")
    parser.add_argument("--peers", action="store_true", help="install and replay the peers, too")
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.md")
    parser.add_argument("--healthy", type=int, default=10_000, help="generated healthy runs")
    parser.add_argument("--sick", type=int, default=30, help="generated sick runs a size")
    options = parser.parse_args()
    if options.quick:
        return quick()
    page = "\n".join(full(options.healthy, options.sick, options.peers))
    print(page)
    if options.write:
        DOCS.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
