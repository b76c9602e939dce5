"""``sftdiag analyze PATH...``: diagnose finished or running logs."""

from __future__ import annotations

import sys

from sftdiag.api import replayed, resolve_settings
from sftdiag.cli import output
from sftdiag.cli.options import (
    Reader,
    add_detail,
    add_formats,
    add_reading,
    add_selection,
    add_verdict,
    detail_of,
    reader,
)
from sftdiag.config import Settings
from sftdiag.errors import SourceError
from sftdiag.findings import Report
from sftdiag.hints import TYPE_CHECKING, Any
from sftdiag.report.results import Results
from sftdiag.sources import find_runs

if TYPE_CHECKING:
    import argparse

    from sftdiag.fleets.row import Row
    from sftdiag.signals.course import Course


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "analyze",
        formatter_class=formatter_class,
        description="Diagnoses logs: trainer_state.json, console text, JSONL, CSV, trackers' files "
        "(docs/logs.md), and folders of them.",
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a log, a run's folder, a pattern; - is stdin"
    )
    add_formats(parser)
    parser.add_argument(
        "--output", metavar="FILE", help="write the first format there, not to standard output"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw one run's curves, as PNG or SVG")
    add_detail(parser)
    add_selection(parser)
    add_verdict(parser)
    add_reading(parser)
    parser.add_argument(
        "--require-verdict", action="store_true", help="exit with 3 when a run cannot be judged"
    )
    parser.add_argument(
        "--baseline", metavar="FILE", help="findings accepted there do not count for the exit code"
    )
    parser.add_argument(
        "--write-baseline", metavar="FILE", help="accept what these runs show now, and exit with 0"
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
    outputs = output.parse(options.format, options.output)
    accepted = {}
    if options.baseline:
        from sftdiag.cli import baseline

        accepted = baseline.read(options.baseline)
    found: list[Report | dict[str, Any]] = []
    rows: list[Row] = []
    drawn = options.plot is not None or any(out.format == "html" for out in outputs)
    courses: list[Course] | None = [] if drawn else None
    read = reader(options)
    for path in options.paths:
        found += _diagnose(path, read, settings, rows, courses, several=len(options.paths) > 1)
    results = Results(found, settings.fail_on, accepted, courses or ())
    code = exit_code(results, options.require_verdict)
    if options.write_baseline:
        from sftdiag.cli import baseline

        baseline.write(options.write_baseline, found)
        code = 2 if results.unreadable else 0
    if options.plot:
        output.plot(results, options.plot)
    with output.reader_may_leave():
        output.write(outputs, results, detail_of(options))
        if len(found) > 1 and not options.quiet and output.shows_text(outputs):
            print_summary(rows, found, settings.lang)
    return code


def _diagnose(
    path: str,
    read: Reader,
    settings: Settings,
    rows: list[Row],
    courses: list[Course] | None,
    *,
    several: bool,
) -> list[Report | dict[str, Any]]:
    """Return the reports of the runs at a path, or its error.

    Adds the lines of several to ``rows``, and each one's series to ``courses`` where asked for.
    """
    results: list[Report | dict[str, Any]] = []
    try:
        runs = find_runs(path)
    except SourceError as error:
        runs, results = [], [_error(path, error)]
    for found in runs:
        try:
            log = read(found)
            monitor, report = replayed(log, settings)
        except SourceError as error:
            results.append(_error(found, error))
            continue
        results.append(report)
        if courses is not None:
            from sftdiag.signals.course import course_of

            courses.append(course_of(log.path, log.entries, log.context))
        if several or len(runs) > 1:
            # One run has no table, and loads nothing of it.
            from sftdiag.fleets.row import row_of

            rows.append(row_of(log, monitor, report))
    return results


def _error(path: str, error: SourceError) -> dict[str, Any]:
    print(f"sftdiag: {error}", file=sys.stderr)
    return {"source": path, "error": str(error)}


def print_summary(rows: list[Row], found: list[Report | dict[str, Any]], lang: str) -> None:
    """Print the table of several runs, those that could not be read too."""
    from sftdiag.cli.fleet import show
    from sftdiag.fleets.fleet import Fleet
    from sftdiag.fleets.row import unreadable

    failed = (result for result in found if isinstance(result, dict))
    rows = [*rows, *(unreadable(one["source"], one["error"]) for one in failed)]
    print()
    show(Fleet.of(rows, lang), "text")


def exit_code(results: Results, require_verdict: bool = False) -> int:
    """Return the exit code; see :func:`sftdiag.cli.main.main`."""
    if results.unreadable:
        return 2
    if any(results.failing(report) for report in results.reports):
        return 1
    if require_verdict and any(report.verdict == "inconclusive" for report in results.reports):
        return 3
    return 0
