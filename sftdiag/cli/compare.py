"""``sftdiag compare BASELINE RUN...``: runs against a baseline, beyond the noise of both."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sftdiag.texts import LANGUAGES

FORMATS = ("text", "json", "html")


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "compare",
        formatter_class=formatter_class,
        description="Compares losses, gradient norm, speed and settings with those of a baseline. "
        "Exits with 1 when a run is worse by more than noise and another seed explain.",
    )
    parser.add_argument("baseline", metavar="BASELINE", help="a state, checkpoint or run folder")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="likewise, to be compared with it")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the texts (default: en)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare and print; 1 when a run is worse, 2 when a log cannot be read."""
    from sftdiag.comparisons.compare import courses
    from sftdiag.comparisons.outcome import compared as held
    from sftdiag.config import load_settings

    lang = options.lang or load_settings().lang
    baseline, *runs = courses(options.baseline, *options.runs)
    compared = [held(baseline, run) for run in runs]
    if options.format == "html":
        from sftdiag.comparisons import html

        sys.stdout.write(html.page(baseline, list(zip(runs, compared, strict=True)), lang))
    elif options.format == "json":
        import json

        document = {"schema_version": 1, "comparisons": [found.to_dict() for found in compared]}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        _print(compared, lang)
    return int(any(found.outcome == "worse" for found in compared))


def _print(compared: Any, lang: str) -> None:
    from sftdiag.report import comparison

    for index, found in enumerate(compared):
        if index:
            print()
        if sys.stdout.isatty():
            from rich.console import Console

            from sftdiag.report.line import write_lines

            write_lines(Console(highlight=False), comparison.lines(found, lang))
        else:
            sys.stdout.write(comparison.render(found, lang))
