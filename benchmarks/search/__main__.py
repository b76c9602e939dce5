"""Prints docs/search_score.md: ``python -m benchmarks.search [--write]``. Needs Ray.

``--write`` also writes docs/search_report.html, the report of a search over the stored runs.
"""

from __future__ import annotations

import argparse
import gc
import logging
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.search import bowls, cells, runs, score, searchers, table, tiny
from sftdiag.searches import html

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, REPORT = DOCS / "search_score.md", DOCS / "search_report.html"

HEAD = """<!-- python -m benchmarks.search --write -->
# The search against the full grid and other searchers
"""


def main() -> int:
    """Score the search over stored runs and drawn surfaces, and on a model trained here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the page")
    parser.add_argument("--stored", type=Path, default=table.STORED, help="other runs")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    stored = runs.read(chosen.stored)
    gc.freeze()  # Each trial collects garbage; the stored runs are none.
    with ProcessPoolExecutor(len(cells.SOURCES) + 2, mp_context=get_context("spawn")) as pool:
        drawn, far = pool.submit(bowls.written), pool.submit(tiny.written)
        sources = [
            pool.submit(score.written, chosen.stored, source)
            for source in cells.SOURCES
            if stored["runs"]
        ]
        parts = [score.head(stored), *(part.result() for part in sources), drawn.result()]
        parts.append(far.result())
    page = "\n".join([HEAD, *parts])
    if chosen.write:
        PAGE.write_text(page, encoding="utf-8")
    if chosen.write and stored["runs"]:
        found = searchers.ours(table.Table(stored, cells.SOURCES[-1]))
        REPORT.write_text(html.page(found.result), encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
