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
from collections.abc import Callable, Sequence
from multiprocessing import Pool
from pathlib import Path

from benchmarks.accuracy import judges, overfitguard, peers, sets
from benchmarks.accuracy.reasons import better_cells, earlier
from benchmarks.accuracy.runs import Judgement, Run
from benchmarks.accuracy.score import by_kind, score
from benchmarks.accuracy.tables import (
    Said,
    against_others,
    by_detector,
    ladder,
    left_out,
    misses,
    share,
    table,
)

DOCS = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"
PEER_HEALTHY, PEER_SICK = 140, 3
LEFT_OUT = {"real": "repository", "gpu": "fault"}
LIMITS = {"healthy alarms": 0.01, "real right": 0.9, "gpu right": 0.97, "wrong": 0.0}
"""What the quick version holds the rates to: the project's own targets."""


def judged(judge: Callable[[Run], Judgement], runs: Sequence[Run]) -> dict[str, Judgement]:
    """Return what a judge says of each run, on all cores."""
    with Pool() as pool:
        said = pool.map(judge, runs, chunksize=20)
    return {run.name: judgement for run, judgement in zip(runs, said, strict=True)}


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
        lines += earlier(runs, said)
        lines += ["Not named by sftdiag, or alarmed:", "", *misses(runs, ours)]
        if title in LEFT_OUT:
            lines += left_out(LEFT_OUT[title], runs)
    lines += ["## OverfitGuard, simulated", "", *overfitguard.lines()]
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
    ladders: dict[str, Said] = {
        "sftdiag": judged(judges.sftdiag, sick),
        "its first word, info counts": judged(judges.first_word, sick),
    }
    lines += ["## Generated, sick: named at some step, median delay in rows", ""]
    lines += ladder(ladders, sick)
    if python is not None:
        few = list(sets.generated_sick(PEER_SICK))
        ours = {run.name: ladders["sftdiag"][run.name] for run in few}
        lines += [f"The same with the peers, {PEER_SICK} runs a size.", ""]
        beside: dict[str, Said] = {"sftdiag": ours, **peers.replay(python, few)}
        lines += ladder(beside, few)
        lines += ["### Where a peer is better, and why", ""]
        lines += ["The peers' alarms on healthy runs of the same generator stand above.", ""]
        lines += better_cells(beside, few)
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
