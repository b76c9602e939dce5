"""docs/accuracy.md, section by section."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import Pool
from pathlib import Path

from benchmarks.accuracy import before, judges, overfitguard, peers, sets
from benchmarks.accuracy.ladders import doubtless, on_real, pages, power
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
    nothing_learned,
    share,
    table,
)

PEER_HEALTHY, PEER_SICK = 140, 3
LEFT_OUT = {"real": "repository", "gpu": "fault"}

FIRST_LOOK = Path(__file__).with_name("first_look.md")
"""Figures of sets that were scored once with frozen code, written by hand; part of the page."""

HEAD = [
    "# Accuracy",
    "",
    "Printed by `python -m benchmarks.accuracy --peers --write`.",
    "",
    "An alarm is a warning or worse. Rates carry their 95 % interval (Wilson).",
    "",
]


def judged(judge: Callable[[Run], Judgement], runs: Sequence[Run]) -> dict[str, Judgement]:
    """Return what a judge says of each run, on all cores."""
    with Pool() as pool:
        said = pool.map(judge, runs, chunksize=20)
    return {run.name: judgement for run, judgement in zip(runs, said, strict=True)}


def _made_and_judged(number: int) -> tuple[Run, Judgement]:
    run = sets.healthy_in_turn(number)
    return run._replace(rows=[]), judges.sftdiag(run)


def judged_healthy(count: int) -> tuple[list[Run], dict[str, Judgement]]:
    """Make and judge so many healthy runs on all cores; return them without their rows."""
    with Pool() as pool:
        pairs = pool.map(_made_and_judged, range(count), chunksize=20)
    return [run for run, _ in pairs], {run.name: said for run, said in pairs}


class Page:
    """The page in the making: its lines, and the figures for the table before and after.

    Args:
        healthy: generated healthy runs.
        sick: generated sick runs a size of the older ladders.
        rung: runs a rung of the ladders.
        python: an interpreter that has the peers, or None to leave them out.
    """

    def __init__(self, healthy: int, sick: int, rung: int, python: Path | None) -> None:
        self.healthy = healthy
        self.sick = sick
        self.rung = rung
        self.python = python
        self.said: Said = {}
        self.figures: before.Figures = {}

    def lines(self) -> list[str]:
        """Score everything and return the page's lines."""
        body = [*self._labelled(), *self._peft()]
        body += ["## OverfitGuard, simulated", "", *overfitguard.lines()]
        body += [*self._healthy(), *self._power(), *self._sick()]
        look = [*FIRST_LOOK.read_text().splitlines(), ""] if FIRST_LOOK.is_file() else []
        return [*HEAD, *look, *before.lines(self.figures), *body]

    def count(self) -> before.Figures:
        """Score only what the table before and after needs."""
        for title, runs in (("real", sets.real()), ("gpu", sets.gpu()), ("tiny", sets.tiny())):
            self.figures |= before.of_set(title, runs, judged(judges.sftdiag, runs))
        self._peft()
        self._healthy()
        self._power()
        return self.figures

    def _labelled(self) -> list[str]:
        rules = {"never": judges.never, "always": judges.always, **judges.baselines()}
        lines = []
        for title, runs in (("real", sets.real()), ("gpu", sets.gpu()), ("tiny", sets.tiny())):
            ours = judged(judges.sftdiag, runs)
            self.figures |= before.of_set(title, runs, ours)
            said: dict[str, Said] = {"sftdiag": ours}
            said |= {name: {run.name: rule(run) for run in runs} for name, rule in rules.items()}
            if self.python is not None:
                said |= peers.replay(self.python, runs)
            lines += [f"## {title}: {len(runs)} runs", "", *against_others(runs, said)]
            lines += earlier(runs, said)
            lines += ["Not named by sftdiag, or alarmed:", "", *misses(runs, ours)]
            if title in LEFT_OUT:
                lines += left_out(LEFT_OUT[title], runs)
        return lines

    def _peft(self) -> list[str]:
        runs = sets.peft()
        said = judged(judges.sftdiag, runs)
        self.figures |= before.of_set("peft", runs, said)
        return [f"## peft: {len(runs)} fine-tunes of one model", "", *nothing_learned(runs, said)]

    def _healthy(self) -> list[str]:
        runs, self.said = judged_healthy(self.healthy)
        self.figures |= before.of_healthy(runs, self.said)
        s = score(runs, self.said)
        errors = sum(one.error for one in self.said.values())
        lines = [f"## Generated, healthy: alarms on {share(s.alarmed, s.healthy)}", ""]
        lines += [f"With an error among them: {errors}.", "", *by_detector(runs, self.said)]
        kinds = [
            (kind, share((r := score(group, self.said)).alarmed, r.healthy))
            for kind, group in by_kind(runs).items()
        ]
        lines += table(("trap", "alarms of sftdiag at any step"), kinds)
        if self.python is not None:
            few = list(sets.generated_healthy(PEER_HEALTHY))
            rates = peers.replay(self.python, few)
            rows = [(n, share((r := score(few, j)).alarmed, r.healthy)) for n, j in rates.items()]
            lines += table((f"peer, on the first {len(few)}", "alarms at any step"), rows)
        return lines

    def _power(self) -> list[str]:
        said = power.outcomes(power.cells(self.rung))
        held = doubtless.held()
        self.figures |= before.of_ladders(said, held)
        sick = list(on_real.runs())
        said_real = judged(judges.sftdiag, sick)
        self.figures |= before.of_real_beds(sick, said_real)
        lines = pages.lines(said, held, self.said, self.rung)
        return [*lines, *on_real.lines(sick, said_real)]

    def _sick(self) -> list[str]:
        sick = list(sets.generated_sick(self.sick))
        ladders: dict[str, Said] = {
            "sftdiag": judged(judges.sftdiag, sick),
            "its first word, info counts": judged(judges.first_word, sick),
        }
        lines = ["## Generated, sick: named at some step, median delay in rows", ""]
        lines += ladder(ladders, sick)
        if self.python is not None:
            few = list(sets.generated_sick(PEER_SICK))
            ours = {run.name: ladders["sftdiag"][run.name] for run in few}
            lines += [f"The same with the peers, {PEER_SICK} runs a size.", ""]
            beside: dict[str, Said] = {"sftdiag": ours, **peers.replay(self.python, few)}
            lines += ladder(beside, few)
            lines += ["### Where a peer is better, and why", ""]
            lines += ["The peers' alarms on healthy runs of the same generator stand above.", ""]
            lines += better_cells(beside, few)
        return lines


def prepared() -> Path:
    """Install the peers and return the interpreter that has them."""
    return peers.prepare(Path(tempfile.gettempdir()) / "sftdiag-peers")
