"""``sftdiag compare BASELINE RUN...``: runs against a baseline, beyond the noise of both."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sftdiag.cli.options import add_output
from sftdiag.cli.output import deliver
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse

    from sftdiag.comparisons.outcome import Comparison
    from sftdiag.signals.course import Course

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
    add_output(parser)
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the texts (default: en)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare and print; 1 when a run is worse, 2 when a log cannot be read."""
    from sftdiag.comparisons.compare import courses
    from sftdiag.comparisons.outcome import compared as held
    from sftdiag.config import load_settings

    lang = options.lang or load_settings().lang
    baseline, *runs = courses(options.baseline, *options.runs)
    compared = [(run, held(baseline, run)) for run in runs]
    if options.format == "text" and not options.output and sys.stdout.isatty():
        _print([found for _, found in compared], lang)
    else:
        deliver(_rendered(baseline, compared, options.format, lang), options.output)
    return int(any(found.outcome == "worse" for _, found in compared))


def _rendered(
    baseline: Course, compared: Sequence[tuple[Course, Comparison]], form: str, lang: str
) -> str:
    if form == "html":
        from sftdiag.comparisons import html

        return html.page(baseline, compared, lang)
    if form == "json":
        import json

        document = {"schema_version": 1, "comparisons": [found.to_dict() for _, found in compared]}
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    from sftdiag.report import comparison

    return "\n".join(comparison.render(found, lang) for _, found in compared)


def _print(compared: Sequence[Comparison], lang: str) -> None:
    """Print comparisons to a terminal, in colour."""
    from rich.console import Console

    from sftdiag.report import comparison
    from sftdiag.report.line import write_lines

    console = Console(highlight=False)
    for index, found in enumerate(compared):
        if index:
            console.print()
        write_lines(console, comparison.lines(found, lang))
