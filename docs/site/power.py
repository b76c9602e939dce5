"""Power curves: how often a fault of a size is named, from the figures of docs/accuracy.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from benchmarks.accuracy.ladders.power import LADDERS
from benchmarks.accuracy.runs import CODES
from sftdiag.report import chart, svg

PAGE = Path(__file__).resolve().parents[1] / "accuracy.md"

OF_LABEL = {
    "flat_loss": "SFT101",
    "lr_zero": "SFT101",
    "schedule_over": "SFT101",
    "frozen": "SFT101",
    "skipped": "SFT112",
    "summed": "SFT111",
    "too_low": "SFT111",
    "negative": "SFT111",
    "nan": "SFT106",
    "zero_or_nan": "SFT106",
    "lr-high": "SFT109",
    "divergence": "SFT104",
    "overfitting": "SFT201",
    "memorisation": "SFT202",
}
"""On whose page the ladders of a label stand; other codes name them, too."""

OF_DISEASE = {"above chance": "SFT108", "rests high": "SFT111", "leap at row 50": "SFT104"}
"""The same of single ladders."""

HEIGHT = 170


class Curve(NamedTuple):
    """A ladder's shares: size to (rows, share found in percent); ``runs`` a size and row count."""

    disease: str
    unit: str
    shares: Mapping[str, tuple[tuple[int, float], ...]]
    runs: int
    axis: str


@cache
def curves() -> tuple[Curve, ...]:
    """Return the curves of every ladder that the page has figures of."""
    found: dict[tuple[str, str], tuple[dict[str, tuple[tuple[int, float], ...]], int]] = {}
    axis: str = ""
    rows: tuple[int, ...] = ()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        heads = cells[2:-1]
        if cells[:2] == ["disease", "size"] and all(re.match(r"\d+ \w+$", h) for h in heads):
            axis = heads[0].split()[-1]
            rows = tuple(int(head.split()[0]) for head in heads)
        elif len(cells) == len(rows) + 3 and cells[0] in LADDERS and axis:
            # A size in brackets needs no warning.
            if cells[1].startswith("("):
                continue
            points = tuple(_points(rows, cells[2:-1]))
            shares, _ = found.setdefault((cells[0], axis), ({}, points[0][2]))
            shares[cells[1]] = tuple((count, share) for count, share, _ in points)
        elif not line.startswith("|"):
            axis, rows = "", ()
    return tuple(
        Curve(name, LADDERS[name].unit, shares, runs, axis)
        for (name, axis), (shares, runs) in found.items()
    )


def _points(rows: tuple[int, ...], cells: list[str]) -> Iterator[tuple[int, float, int]]:
    for count, cell in zip(rows, cells, strict=True):
        if match := re.match(r"(\d+) of (\d+) ", cell):
            yield count, 100 * int(match[1]) / int(match[2]), int(match[2])


def page_of(disease: str) -> str:
    """Return the code on whose page a ladder stands."""
    return OF_DISEASE.get(disease) or OF_LABEL[LADDERS[disease].label]


def figures(code: str) -> list[str]:
    """Return the curves of a code as markup, one element each."""
    shown = []
    for curve in curves():
        if page_of(curve.disease) != code:
            continue
        panel = svg.Panel(
            "% named",
            {_size(curve, size): p for size, p in curve.shares.items()},
            HEIGHT,
            linear=True,
        )
        panel.low, panel.high = 0.0, 100.0
        codes = ", ".join(sorted(CODES[LADDERS[curve.disease].label]))
        told = f"{curve.disease}: share named (by {codes}) over the {curve.axis} of the log"
        about = f"{escape(told)}; {curve.runs} generated runs a point, a line a size of the fault."
        drawn = chart.still([panel], (), told)
        caption = f"<figcaption>{about}</figcaption>"
        shown.append(f'<figure class="run">\n{drawn}\n{caption}\n</figure>')
    return shown


def _size(curve: Curve, size: str) -> str:
    return f"{size} {curve.unit}".strip() if len(curve.shares) > 1 else curve.disease
