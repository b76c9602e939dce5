"""The power curves of docs/accuracy.md: a plot to grasp, and the figures behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.accuracy.ladders import doubtless, power
from benchmarks.accuracy.ladders.evaluations import BETWEEN, COUNTS
from benchmarks.accuracy.ladders.power import LADDERS, Outcomes, Rate
from benchmarks.accuracy.ladders.rungs import EVERY, MIX, NOISES, ROWS, Cell
from benchmarks.accuracy.runs import CODES, Judgement
from benchmarks.accuracy.tables import share, table
from benchmarks.accuracy.windows import VOCABULARIES

BARS = "▁▂▃▄▅▆▇█"
"""A bar is an eighth of the runs; a dot is none."""

Said = Mapping[str, Judgement]


def bar(rate: Rate) -> str:
    """Return one character for a share found."""
    return BARS[min(7, int(rate.share * 8))] if rate.found else "·"


def plot(said: Outcomes, healthy: Said) -> list[str]:
    """Return a line a disease and logging_steps, a bar a size, a column a row count."""
    lines = [
        "Share found, a bar a size, the smallest effect first (`·` none, `▁` under an eighth, `█` "
        "over seven eighths). The last column is what its codes cost: healthy generated runs with "
        "an alarm by one of them at any step.",
        "",
    ]
    for columns, unit in ((ROWS, "rows"), (COUNTS, "rows, an evaluation every 4")):
        head = ("disease", "sizes", "logging_steps", *(f"{n} {unit}" for n in columns))
        rows = []
        for disease, ladder in LADDERS.items():
            if (ladder.rows == COUNTS) != (columns is COUNTS):
                continue
            mine = {cell: one for cell, one in said.items() if cell.disease == disease}
            rates = power.rates(mine, lambda cell: (cell.every, cell.rows, cell.size))
            codes = CODES[ladder.label]
            false = sum(any(a.code in codes for a in one.alarms) for one in healthy.values())
            for every in EVERY:
                first = every == EVERY[0]
                curves = [
                    "`" + "".join(bar(rates[every, n, size]) for size in ladder.sizes) + "`"
                    if n in ladder.rows
                    else "-"
                    for n in columns
                ]
                named = (f"{disease}, {ladder.unit}".rstrip(", "), _sizes(ladder.sizes))
                told = named if first else ("", "")
                cost = share(false, len(healthy)) if first else ""
                rows.append((*told, every, *curves, cost))
        lines += table((*head, "false alarms"), rows)
    return lines


def _sizes(sizes: Sequence[float]) -> str:
    return ", ".join(f"{size:g}" for size in sizes) if len(sizes) > 1 else "-"


def figures(said: Outcomes) -> list[str]:
    """Return share, interval and median rows of every size and row count."""
    lines = [
        "All logging_steps together: share found with its interval; the median of the rows that "
        "show the disease until it is named, the naming one counted. Sizes in brackets need no "
        "warning.",
        "",
    ]
    for columns in (ROWS, COUNTS):
        rows = []
        for disease, ladder in LADDERS.items():
            if (ladder.rows == COUNTS) != (columns is COUNTS):
                continue
            mine = {cell: one for cell, one in said.items() if cell.disease == disease}
            rates = power.rates(mine, lambda cell: (cell.size, cell.rows))
            for size in ladder.sizes:
                shown = f"({size:g})" if size in ladder.optional else f"{size:g}"
                cells = [_figure(rates.get((size, n))) for n in columns]
                wrong = sum(rates[size, n].wrong for n in ladder.rows)
                rows.append((disease, shown, *cells, wrong))
        names = [f"{n} rows" if columns is ROWS else f"{n // BETWEEN} evaluations" for n in columns]
        lines += table(("disease", "size", *names, "another named first"), rows)
    return lines


def _figure(rate: Rate | None) -> str:
    if rate is None:
        return "-"
    late = f", {rate.after:g}" if rate.after is not None else ""
    return share(rate.found, rate.runs).replace(" to ", "-") + late


def breakdown(said: Outcomes) -> list[str]:
    """Return how much of each disease is found by logging_steps, noise and vocabulary."""
    counted = {
        cell: one for cell, one in said.items() if cell.size not in LADDERS[cell.disease].optional
    }
    by: list[tuple[str, Callable[[Cell], object], Sequence[object]]] = [
        ("every", lambda cell: cell.every, EVERY),
        ("noise", lambda cell: cell.noise, NOISES),
        ("vocabulary", lambda cell: cell.vocabulary, VOCABULARIES),
        ("known", lambda cell: cell.known, (True, False)),
    ]
    head = [f"logging_steps {every}" for every in EVERY] + [f"noise {noise:g}" for noise in NOISES]
    head += [f"V {size:,}" for size in VOCABULARIES] + ["V known", "V unknown"]
    rows = []
    for disease in LADDERS:
        mine = {cell: one for cell, one in counted.items() if cell.disease == disease}
        cells = []
        for _, key, values in by:
            rates = power.rates(mine, key)
            late = values is EVERY
            cells += [_short(rates[v], late) if v in rates else "-" for v in values]
        rows.append((disease, len(mine), *cells))
    return [
        "Share found over all sizes that need a warning, by what else differs (noise: of one step, "
        "as a share of the loss; less where the disease says so). After a comma: median rows until "
        "then.",
        "",
        *table(("disease", "runs", *head), rows),
    ]


def _short(rate: Rate, with_delay: bool) -> str:
    late = f", {rate.after:g}" if with_delay and rate.after is not None else ""
    return f"{rate.share:.0%}{late}"


def beyond_doubt(found: Sequence[doubtless.Held]) -> list[str]:
    """Return which of the limits hold."""
    rows = [
        (
            f"{one.limit.disease}, {one.limit.size:g}",
            one.every,
            one.limit.within,
            share(one.within, one.runs),
            "yes" if one.holds else "NO",
        )
        for one in found
    ]
    head = ("fault, size", "logging_steps", "rows allowed", "named within them", "holds")
    return [
        f"A limit holds where at least {doubtless.SHARE:.0%} of the runs are named within it.",
        "",
        *table(head, rows),
    ]


def lines(
    said: Outcomes, held: Sequence[doubtless.Held], healthy: Said, rung: int = MIX
) -> list[str]:
    """Return the whole section; ``rung`` is how many runs there are of each cell."""
    runs = f"{len(said):,} runs, {rung} a size, row count and logging_steps"
    return [
        f"## Power: share found against size ({runs})",
        "",
        *plot(said, healthy),
        "### Figures",
        "",
        *figures(said),
        "### By logging, noise and vocabulary",
        "",
        *breakdown(said),
        "### Beyond doubt",
        "",
        *beyond_doubt(held),
    ]
