"""``sftdiag analyze PATH...``: diagnose finished or running logs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from sftdiag.api import replay, resolve_settings
from sftdiag.cli.options import add_selection, add_verdict
from sftdiag.config import Settings
from sftdiag.errors import SourceError
from sftdiag.findings import Report
from sftdiag.report import FORMATS
from sftdiag.sources import find_runs, open_run


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "analyze",
        formatter_class=formatter_class,
        help="diagnose the log of one or more runs",
        description="Diagnoses logs: trainer_state.json files, checkpoints' or runs' folders.",
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a state, checkpoint or run folder"
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    add_selection(parser)
    add_verdict(parser)
    parser.add_argument(
        "--require-verdict", action="store_true", help="exit with 3 when a run cannot be judged"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Diagnose every path in order; see :func:`sftdiag.cli.main.main` for the exit codes."""
    settings = resolve_settings(
        select=options.select,
        ignore=options.ignore,
        fail_on=options.fail_on,
        lang=options.lang,
    )
    results: list[Report | dict[str, Any]] = []
    for path in options.paths:
        results += _diagnose(path, settings)
    if options.format == "json":
        from sftdiag.report import json

        sys.stdout.write(json.render(results))
    else:
        print_text([report for report in results if isinstance(report, Report)])
    return exit_code(results, settings, options.require_verdict)


def _diagnose(path: str, settings: Settings) -> list[Report | dict[str, Any]]:
    """Return the reports of the runs at a path, or its error."""
    results: list[Report | dict[str, Any]] = []
    try:
        runs = find_runs(path)
    except SourceError as error:
        return [_error(path, error)]
    for found in runs:
        try:
            results.append(replay(open_run(found), settings))
        except SourceError as error:
            results.append(_error(found, error))
    return results


def _error(path: str, error: SourceError) -> dict[str, Any]:
    print(f"sftdiag: {error}", file=sys.stderr)
    return {"source": path, "error": str(error)}


def print_text(reports: list[Report]) -> None:
    """Print reports: in colour on a terminal, plain elsewhere."""
    from sftdiag.report import text

    for index, report in enumerate(reports):
        if index:
            print()
        if sys.stdout.isatty():
            text.print_to_terminal(report)
        else:
            sys.stdout.write(text.render(report))


def exit_code(
    results: Sequence[Report | dict[str, Any]], settings: Settings, require_verdict: bool = False
) -> int:
    """Return the exit code; see :func:`sftdiag.cli.main.main`."""
    reports = [report for report in results if isinstance(report, Report)]
    if len(reports) < len(results):
        return 2
    if any(report.at_least(settings.fail_on) for report in reports):
        return 1
    if require_verdict and any(report.verdict == "inconclusive" for report in reports):
        return 3
    return 0
