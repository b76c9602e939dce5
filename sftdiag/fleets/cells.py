"""Cells: a row as the words of its table, in one language, for every renderer."""

from __future__ import annotations

from sftdiag import texts
from sftdiag.fleets.fleet import Fleet, Group
from sftdiag.fleets.row import UNREADABLE, VERDICTS, Row
from sftdiag.report.one_line import words_of

COLUMNS = (
    *("verdict", "finding", "cause", "onset", "wasted", "gpu_hours", "best", "checkpoint", "run"),
)
"""Keys of fleet.toml, in the order of the table."""

RIGHT = frozenset({"onset", "wasted", "gpu_hours"})
"""Columns of numbers."""


def words(lang: str) -> texts.Texts:
    """Return the table's words."""
    return texts.load(__file__, "fleet", lang)


def verdict(name: str, lang: str) -> str:
    """Return the word for a verdict."""
    return str(words(lang)[name] if name == UNREADABLE else words_of(lang)[name])


def cells(row: Row, lang: str) -> list[str]:
    """Return the row's words, a column each; empty where nothing is known."""
    said = words(lang)
    best = row.best_loss is not None and row.best_step is not None
    return [
        verdict(row.verdict, lang),
        f"{row.code} {row.name}" if row.code else "",
        row.cause_name or "",
        f"{row.onset_step:,}" if row.onset_step is not None else "",
        f"{row.wasted_share:.0%}" if row.wasted_share is not None else "",
        hours(row.wasted_gpu_hours) if row.wasted_gpu_hours is not None else "",
        said["at"].format(loss=row.best_loss, step=row.best_step) if best else "",
        f"checkpoint-{row.checkpoint}" if row.checkpoint is not None else "",
        row.run if row.verdict != UNREADABLE else row.reason or row.run,
    ]


def hours(value: float) -> str:
    """Return GPU hours in two digits, or all of them."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}" if value >= 0.01 else "< 0.01"


def counts(fleet: Fleet) -> str:
    """Return how many runs there are, and of each verdict."""
    lang = fleet.language
    said = words_of(lang)
    parts = [
        f"{verdict(name, lang)} {count:,}" for name in VERDICTS if (count := fleet.count(name))
    ]
    return f"{number(len(fleet.rows), lang)}{said['colon']}{said['comma'].join(parts)}"


def number(runs: int, lang: str) -> str:
    """Return a number of runs."""
    return texts.counted(words(lang)["runs"].format(runs=runs))


def group(of: Group, lang: str) -> str:
    """Return a group's line."""
    name = of.cause_name or words(lang)["open"].format(code=of.code, name=of.name)
    return f"{number(of.runs, lang)}{words_of(lang)['colon']}{name}"


def lost(fleet: Fleet) -> list[str]:
    """Return what the runs cost after something went wrong."""
    said = words(fleet.language)
    steps = sum(row.wasted_steps or 0 for row in fleet.rows)
    done = sum(row.last_step or 0 for row in fleet.rows)
    known = [row.wasted_gpu_hours for row in fleet.rows if row.wasted_gpu_hours is not None]
    after = said["lost"].format(steps=steps, share=steps / done) if steps and done else None
    lines = [texts.counted(after)] if after is not None else []
    return [*lines, said["lost_hours"].format(hours=hours(sum(known)))] if known else lines
