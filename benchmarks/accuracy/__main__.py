"""How right, early and quiet sftdiag is on labelled sets, beside the rules and tools of others.

    python -m benchmarks.accuracy                    # without the peers, some minutes
    python -m benchmarks.accuracy --peers --write    # with them; writes docs/accuracy.md
    python -m benchmarks.accuracy --quick            # a minute; exit code 1 when a rate got worse
    python -m benchmarks.accuracy --set FOLDER       # a labelled set; --summary tells no names
    python -m benchmarks.accuracy --write-before     # today's figures become those of before

Needs numpy; the labelled logs are read from ``$SFTDIAG_CORPUS`` or ``../shared/corpus``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.accuracy import before, judges, labelled
from benchmarks.accuracy.ladders.rungs import MIX
from benchmarks.accuracy.page import Page, judged, prepared
from benchmarks.accuracy.quick import quick

DOCS = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute; fails on a worse rate")
    parser.add_argument("--peers", action="store_true", help="install and replay the peers, too")
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.md")
    parser.add_argument("--write-before", action="store_true", help="write before.json")
    parser.add_argument("--set", type=Path, metavar="FOLDER", help="score labels.csv and runs/")
    parser.add_argument("--summary", action="store_true", help="of --set, name no run")
    parser.add_argument("--healthy", type=int, default=10_000, help="generated healthy runs")
    parser.add_argument("--sick", type=int, default=30, help="generated sick runs a size")
    parser.add_argument("--rung", type=int, default=MIX, help="runs a rung of the ladders")
    options = parser.parse_args()
    if options.quick:
        return quick()
    if options.set is not None:
        runs = labelled.load(options.set)
        said = judged(judges.sftdiag, runs)
        print("\n".join(labelled.lines(options.set, said, runs, options.summary)))
        return 0
    python = prepared() if options.peers else None
    page = Page(options.healthy, options.sick, options.rung, python)
    if options.write_before:
        before.write(page.count())
        return 0
    text = "\n".join(page.lines())
    print(text)
    if options.write:
        DOCS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
