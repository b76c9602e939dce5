"""A row below the finding that it shows, with the trained tokens marked. For a terminal only.

Rows are text of the user's. They stand in no Report and no JSON: a caller hands them over to be
printed, and nothing keeps them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from sftdiag import texts
from sftdiag.findings import Finding, Report
from sftdiag.report import full
from sftdiag.report.line import Line, visible, write_lines
from sftdiag.samples import Sample

OPEN, CLOSE = "⟦", "⟧"

SHOWN = 60
"""Tokens shown of each end of a long row: the template's marks, and how an answer ends."""

TRAINED = "green"

Decode = Callable[[Sequence[int]], str]


class Examples:
    """Rows to show, by the id of the finding; says nothing of them in its repr.

    Args:
        rows: id of a finding to the row that shows it.
        decode: turns token ids into text.
    """

    def __init__(self, rows: Mapping[str, Sample], decode: Decode) -> None:
        self._rows = rows
        self._decode = decode

    def __repr__(self) -> str:
        return f"Examples of {len(self._rows)} findings"

    def below(self, finding: Finding, language: str) -> Iterator[Line]:
        """Yield the lines that show a finding's row."""
        sample = self._rows.get(finding.id)
        if sample is None or not sample.input_ids:
            return
        words = texts.load(__file__, "examples", language)
        heading = words["row"].format(
            tokens=len(sample.input_ids), trained=sample.supervised_tokens
        )
        yield Line(2, ((texts.counted(heading), "bold"),))
        yield Line(4, tuple(self._parts(sample)))

    def _parts(self, sample: Sample) -> Iterator[tuple[str, str]]:
        length = len(sample.input_ids)
        if length <= 2 * SHOWN:
            yield from self._marked(sample, range(length))
            return
        yield from self._marked(sample, range(SHOWN))
        yield f" … {length - 2 * SHOWN:,} … ", "dim"
        yield from self._marked(sample, range(length - SHOWN, length))

    def _marked(self, sample: Sample, places: range) -> Iterator[tuple[str, str]]:
        for trained, run in groupby(places, key=sample.is_supervised):
            piece = visible(self._decode([sample.input_ids[i] for i in run]))
            yield (f"{OPEN}{piece}{CLOSE}", TRAINED) if trained else (f" {piece} ", "dim")


def show(report: Report, examples: Examples) -> None:
    """Print a report with its rows to standard output: in colour on a terminal, else plain."""
    lines = full.lines(report, (), lambda finding: examples.below(finding, report.language))
    if sys.stdout.isatty():
        from rich.console import Console

        write_lines(Console(highlight=False), lines)
    else:
        sys.stdout.write("\n".join(line.plain for line in lines) + "\n")
