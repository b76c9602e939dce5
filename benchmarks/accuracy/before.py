"""The table before and after: rates of an earlier commit, kept in before.json, beside today's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.accuracy.ladders import doubtless, power
from benchmarks.accuracy.runs import Judgement, Run
from benchmarks.accuracy.score import by_kind, score
from benchmarks.accuracy.tables import number, share, table

STORED = Path(__file__).with_name("before.json")

ROOT = Path(__file__).resolve().parents[2]

Said = Mapping[str, Judgement]


class Figure(NamedTuple):
    """A rate: how many of how many, and the median rows until then where that is measured."""

    hits: int
    runs: int
    after: float | None = None


Figures = dict[str, Figure]


def of_set(title: str, runs: Sequence[Run], said: Said) -> Figures:
    """Return a labelled set's rates: right, wrong, alarmed."""
    s = score(runs, said)
    rates = {f"{title}: right at the end": Figure(s.right, s.sick, s.delay)}
    rates[f"{title}: wrong first diagnosis"] = Figure(s.wrong, s.sick)
    if s.healthy:
        rates[f"{title}: healthy runs alarmed, any step"] = Figure(s.alarmed, s.healthy)
    return rates


def of_healthy(runs: Sequence[Run], said: Said) -> Figures:
    """Return the false-alarm rates of the generated healthy runs, all and by kind."""
    errors = sum(said[run.name].error for run in runs)
    s = score(runs, said)
    rates = {
        "generated healthy: alarmed": Figure(s.alarmed, s.healthy),
        "generated healthy: an error": Figure(errors, len(runs)),
    }
    for kind, group in by_kind(runs).items():
        s = score(group, said)
        rates[f"generated healthy, {kind}: alarmed"] = Figure(s.alarmed, s.healthy)
    return rates


def of_ladders(said: power.Outcomes, held: Sequence[doubtless.Held]) -> Figures:
    """Return the share found of every disease, over the sizes that need a warning, and limits."""
    counted = {c: o for c, o in said.items() if c.size not in power.LADDERS[c.disease].optional}
    rates = power.rates(counted, lambda cell: cell.disease)
    figures = {f"ladder, {n}: found": Figure(r.found, r.runs, r.after) for n, r in rates.items()}
    for disease, size, within in dict.fromkeys(one.limit[:3] for one in held):
        mine = [one for one in held if one.limit[:3] == (disease, size, within)]
        hits = sum(one.within for one in mine)
        name = f"beyond doubt, {disease} {size:g}: within {within} rows"
        figures[name] = Figure(hits, sum(one.runs for one in mine))
    return figures


def of_real_beds(runs: Sequence[Run], said: Said) -> Figures:
    """Return the share found of the diseases that were laid on real healthy runs."""
    return {
        f"on real runs, {kind}: found": Figure(
            s.seen, s.sick, None if s.delay is None else s.delay + 1
        )
        for kind, group in by_kind(runs).items()
        for s in [score(group, said)]
    }


def write(figures: Figures) -> None:
    """Keep these figures as those of before, with the commit they are of."""
    command = ["git", "log", "-1", "--format=%h", "--", "sftdiag"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    # One figure a line, so that a change of one is a change of one line.
    told = [f"{json.dumps(name)}: {json.dumps(figure)}" for name, figure in figures.items()]
    commit = json.dumps(done.stdout.strip())
    text = ",\n".join(told)
    STORED.write_text(f'{{"commit": {commit}, "figures": {{\n{text}\n}}}}\n')


def stored() -> tuple[str, Figures]:
    """Return the commit and the figures of before."""
    kept: dict[str, Any] = json.loads(STORED.read_text())
    return kept["commit"], {name: Figure(*values) for name, values in kept["figures"].items()}


def lines(now: Figures) -> list[str]:
    """Return the table, an empty list where nothing is kept."""
    if not STORED.is_file():
        return []
    commit, before = stored()
    rows = []
    for name, figure in now.items():
        old = before.get(name)
        rows.append((name, _cell(old) if old else "-", _cell(figure)))
    return [
        "## Before and after",
        "",
        f"Before: sftdiag at {commit}, on the same runs. After a comma: the median of the rows "
        "until then.",
        "",
        *table(("figure", "before", "after"), rows),
    ]


def _cell(figure: Figure) -> str:
    late = f", {number(figure.after)}" if figure.after is not None else ""
    return share(figure.hits, figure.runs) + late
