"""``sftdiag fleet ROOT...``: diagnose all runs below folders, one line each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sftdiag.api import resolve_settings
from sftdiag.cli.options import add_output, add_selection, add_verdict, positive, progress_bar
from sftdiag.cli.output import deliver
from sftdiag.findings import Severity
from sftdiag.fleets.fleet import ENGINES, Fleet, is_readable, look

if TYPE_CHECKING:
    import argparse

FORMATS = ("text", "json", "csv", "html")


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "fleet",
        formatter_class=formatter_class,
        description="Finds all runs below folders and prints a line each, the severest first, "
        "grouped by cause. A second look reads what has changed only.",
    )
    parser.add_argument("paths", nargs="+", metavar="ROOT", help="a folder with runs below it")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    add_output(parser)
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes that read the runs")
    parser.add_argument(
        "--engine", choices=tuple(ENGINES), default="local", help="who reads (default: local)"
    )
    parser.add_argument(
        "--since", metavar="WHEN", help="runs written since: 12h, 7d or a date such as 2026-01-31"
    )
    parser.add_argument("--no-cache", action="store_true", help="read every run anew")
    add_selection(parser)
    add_verdict(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the fleet; 1 when a run is at or above ``--fail-on``, 2 when none could be read."""
    settings = resolve_settings(
        select=options.select, ignore=options.ignore, fail_on=options.fail_on, lang=options.lang
    )
    with progress_bar(settings.lang) as progress:
        found = look(
            options.paths,
            settings,
            options.jobs,
            options.engine,
            options.since,
            not options.no_cache,
            progress,
        )
    if options.output:
        deliver(rendered(found, options.format), options.output)
    else:
        show(found, options.format)
    if not any(is_readable(row) for row in found.rows):
        return 2
    worst = [severity.label for severity in Severity if severity >= settings.fail_on]
    return 1 if any(found.count(label) for label in worst) else 0


def show(fleet: Fleet, form: str) -> None:
    """Print the fleet in a format."""
    if form == "text" and sys.stdout.isatty():
        from sftdiag.fleets import text

        text.print_to_terminal(fleet)
    else:
        deliver(rendered(fleet, form), None)


def rendered(fleet: Fleet, form: str) -> str:
    """Return the fleet in a format."""
    if form == "text":
        from sftdiag.fleets import text

        return text.render(fleet)
    if form == "html":
        from sftdiag.fleets import html

        return html.page(fleet)
    from sftdiag.fleets import data

    return data.json(fleet) if form == "json" else data.csv(fleet)
