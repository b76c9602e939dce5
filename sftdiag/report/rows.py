"""The training rows behind a finding: their numbers in every report, their text on a terminal only.

Nothing here keeps a text: it is asked for row by row, shown, and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, isfinite

from sftdiag import texts
from sftdiag.findings import Finding, StepRows
from sftdiag.report.line import Line

FEW = 8
"""Row numbers shown of a step in a report."""

SHOWN = 600
"""Characters shown of a row's text."""


def lines(finding: Finding, language: str) -> Iterator[Line]:
    """Yield a line for each step whose rows are behind a finding."""
    for rows in finding.rows:
        yield Line(2, ((behind(rows, language), "dim"),))


def behind(rows: StepRows, language: str) -> str:
    """Return which rows a step was made of, in one line."""
    words = texts.load(__file__, "rows", language)
    epoch = words["epoch"].format(epoch=rows.epoch) if rows.epoch is not None else ""
    numbers = ", ".join(map(str, rows.rows[:FEW]))
    if len(rows.rows) > FEW:
        numbers += words["more"].format(count=len(rows.rows) - FEW)
    rank = words["rank"].format(rank=rows.rank) if rows.rank else ""
    line = words["behind_stream" if rows.stream else "behind"]
    told = str(line.format(step=rows.step, epoch=epoch, rank=rank, rows=numbers))
    if rows.losses and rows.usual is not None:
        pairs = zip(rows.losses, rows.rows, strict=True)
        loss, row = max(pairs, key=lambda pair: _surprise(pair[0]))
        if _surprise(loss) > rows.usual:
            told += words["most_surprising"].format(row=row, loss=loss, usual=rows.usual)
    return told


def with_text(
    finding: Finding, text: Callable[[StepRows, int], str | None], language: str
) -> Iterator[str]:
    """Yield the lines that show a finding's rows with their text, most surprising first.

    Args:
        finding: with its rows.
        text: returns the text of a row, or None where it is not known.
        language: of the words around it.
    """
    words = texts.load(__file__, "rows", language)
    if not finding.rows:
        yield words["none"].format(id=finding.id)
        return
    yield finding.message
    known: list[tuple[float, StepRows, int]] = []
    for rows in finding.rows:
        losses = rows.losses or (-1.0,) * len(rows.rows)
        known += [(loss, rows, row) for loss, row in zip(losses, rows.rows, strict=True)]
    if all(rows.losses is None for rows in finding.rows):
        yield words["no_loss"]
    # Of equally surprising ones those of the step to look at first, as they stand in the finding.
    for loss, rows, row in sorted(known, key=lambda each: -_surprise(each[0])):
        key = "row" if rows.losses is None else "row_loss"
        yield words[key].format(row=row, step=rows.step, loss=loss, usual=rows.usual)
        shown = text(rows, row)
        yield "    " + (_short(shown) if shown is not None else words["no_text"])


def _surprise(loss: float) -> float:
    """Return a loss to sort by: one that is not finite surprises most."""
    return loss if isfinite(loss) else inf


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"
