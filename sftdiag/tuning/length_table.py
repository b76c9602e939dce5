"""Lengths as a table and a histogram for the terminal."""

from __future__ import annotations

from typing import Any

from sftdiag import texts
from sftdiag.ranges import COVERAGE
from sftdiag.tuning.lengths import REFERENCE, Lengths

BAR = 40
"""Columns of the longest bar."""

EIGHTHS = " ▏▎▍▌▋▊▉█"


def write_to(console: Any, lengths: Lengths, lang: str = "en") -> None:
    """Write everything to a rich Console."""
    from rich.text import Text

    words = texts.load(__file__, "lengths", lang)
    mean = lengths.tokens / lengths.rows
    summary = words["summary"].format(rows=lengths.rows, tokens=lengths.tokens, mean=mean)
    console.print(texts.counted(summary))
    quantiles = lengths.quantiles
    shown = "   ".join(f"{share:.0%} {tokens:,}" for share, tokens in quantiles.items())
    console.print(f"{words['quantiles']}: {shown}")
    for title, table in (
        (words["histogram"], _histogram(lengths)),
        (words["coverage"], _coverage(lengths, words)),
    ):
        console.print()
        console.print(Text(title, "bold"))
        console.print(table)
    console.print(words["note"].format(reference=REFERENCE))
    console.print()
    chosen = words["chosen"].format(
        length=lengths.max_length, share=COVERAGE.high, tokens=lengths.quantile(COVERAGE.high)
    )
    console.print(Text(texts.counted(chosen), "bold green"))


def bar(share: float) -> str:
    """Return a bar of ``share`` of the full width, in eighths of a column.

    Examples:
        >>> bar(0.25), bar(0.0), bar(0.001)
        ('██████████', '', '▏')
    """
    whole, part = divmod(max(round(share * BAR * 8), share > 0), 8)
    return ("█" * whole + EIGHTHS[part]).rstrip()


def _histogram(lengths: Lengths) -> Any:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    for justify in ("right", "left", "right"):
        grid.add_column(justify=justify, no_wrap=True)
    bins = lengths.histogram()
    most = max(rows for *_, rows in bins)
    for low, high, rows in bins:
        grid.add_row(f"{low:,}-{high:,}", bar(rows / most), f"{rows / lengths.rows:.1%}")
    return grid


def _coverage(lengths: Lengths, words: texts.Texts) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("max_length", "held", "cut", "lost", "memory"):
        table.add_column(words[name], justify="right")
    table.add_column("")
    for row in lengths.coverage:
        table.add_row(
            f"{row.max_length:,}",
            f"{row.share:.1%}",
            f"{row.rows_cut:,}",
            f"{row.tokens_cut:.1%}",
            f"{row.attention_memory:.3g} x",
            words[row.cost],
            style="bold green" if row.max_length == lengths.max_length else None,
        )
    return table
