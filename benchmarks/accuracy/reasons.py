"""Where another judge's cell is better than sftdiag's, and why that stays so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.accuracy.runs import Run
from benchmarks.accuracy.score import Score, by_kind, score
from benchmarks.accuracy.sick import LADDERS
from benchmarks.accuracy.tables import Said, number, table

OURS = "sftdiag"

REASONS: Mapping[str, str] = {
    "overfitting": (
        "The rise takes half the run, 15 to 20 evaluations with a noise of 0.4 %. Two evaluations "
        "must stand 3 % and five noise units above the best where the train loss has clearly "
        "fallen, three elsewhere; a smaller rise counts from 1.5 % on where it is steady and will "
        "be 3 % by the end of the plan. At size 0.05 that takes seven to nine evaluations, at 0.4 "
        "three, one of which the smoothed best costs; size 0.03 ends at what two seeds differ by."
    ),
    "divergence": (
        "The loss climbs for five rows. Three rows in a row are wanted above twice the start, or "
        "five above it and above all losses before: one or two high rows are a spike that mostly "
        "comes back, and a rule that alarms at the first cannot tell."
    ),
    "rebound": (
        "The rise is judged by means of 50 steps, a period of length grouping; the climb itself "
        "takes 15 % of the run. Tools that compare single rows name fewer of these."
    ),
    "nan": "One row after the first lost one: a single lost row is skipped by fp16's loss scaler.",
    "flat": (
        "20 block means after the warm-up, and a tenth of the plan: before that healthy runs whose "
        "learning rate still climbs are as flat. The noise, 1 to 8 %, decides when a fall of 5 % "
        "is excluded; tools that do not ask for it call noisy healthy runs flat."
    ),
    "frozen": (
        "Five rows with a gradient norm of exactly 0, from the first on, where the optimizer is "
        "known or two evaluations agree to the last digit. Else half of the plan, and rows that do "
        "not hide a fall: layerwise optimizers leave such norms while they learn."
    ),
    "zero-loss": "Three rows.",
    "oscillation": (
        "A swing of 6 to 14 rows cannot be told from noise before it has turned twice, nor from "
        "new data before the gradient norm agrees over two windows of 32 rows: a warning needs "
        "evidence beyond the curve. An alarm at row 0 came before the swing."
    ),
    "spikes": (
        "One spike that comes back is info, at once; the third makes a warning, since single ones "
        "are common in healthy runs and harmless. The delay is that of the third."
    ),
    "early-jump": (
        "Below half of the first loss a jump within 100 steps may be the saw-tooth of length "
        "grouping, so it waits for a whole period; at size 0.2 it lies within 5.5 noise units in "
        "more than half of the runs (the first row is one draw of up to 8 %)."
    ),
    "above-chance": "Fires at the second row; an alarm at the first is of another disease.",
    "memorisation": "No peer names it.",
}
"""Why sftdiag is not quicker on a disease of the generator; numbers are those of sick.py and of the
detectors' constants."""


def better_cells(said: Mapping[str, Said], runs: Sequence[Run]) -> list[str]:
    """Return, a disease a row, the cells of the ladder in which a judge beats sftdiag."""
    kinds = by_kind(runs)
    rows = []
    for disease, ladder in LADDERS.items():
        cells = []
        for size in ladder.sizes:
            group = [run for run in kinds[disease] if run.size == size]
            scores = {name: score(group, judgements) for name, judgements in said.items()}
            better = [_cell(name, s) for name, s in scores.items() if _beats(s, scores[OURS])]
            if better:
                cells.append(f"{size:g} ({_cell('', scores[OURS])}): {', '.join(better)}")
        if cells:
            rows.append((disease, "; ".join(cells), REASONS[disease]))
    return table(("disease", "size (sftdiag): better ones", "why sftdiag waits"), rows)


def _beats(other: Score, ours: Score) -> bool:
    if other is ours or not other.seen:
        return False
    if other.seen > ours.seen or ours.delay is None:
        return True
    return other.delay is not None and other.delay < ours.delay


def _cell(name: str, s: Score) -> str:
    late = f", {s.delay:g} rows" if s.delay is not None else ""
    return f"{name} {s.seen}/{s.sick}{late}".strip()


def earlier(runs: Sequence[Run], said: Mapping[str, Said]) -> list[str]:
    """Return the judges with a smaller delay than sftdiag on a set, with what it costs them."""
    ours = score(runs, said[OURS])
    rows = []
    for name, judgements in said.items():
        s = score(runs, judgements)
        if s.delay is not None and ours.delay is not None and s.delay < ours.delay:
            alarms = f"{s.alarmed} of {s.healthy}"
            rows.append((name, number(s.delay), f"{s.seen} of {s.sick}", s.wrong, alarms))
    if not rows:
        return []
    head = ("earlier than sftdiag", "delay, rows", "named", "wrong", "healthy runs alarmed")
    why = "Their delay is that of the runs they name, which are fewer and the plainer ones."
    return [why, "", *table(head, rows)]
