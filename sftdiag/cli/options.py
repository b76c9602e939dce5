"""Options that several subcommands share: what to report, how severe, in which language."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from sftdiag.hints import TYPE_CHECKING
from sftdiag.report import FORMATS
from sftdiag.report.text import Detail
from sftdiag.sources import Run, open_run
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add ``--select`` and ``--ignore``."""
    parser.add_argument("--select", metavar="CODES", help="report these codes or names only")
    parser.add_argument("--ignore", metavar="CODES", help="leave these codes or names out")


def add_verdict(parser: argparse.ArgumentParser) -> None:
    """Add ``--fail-on`` and ``--lang``."""
    parser.add_argument(
        "--fail-on",
        choices=("info", "warning", "error"),
        help="exit with 1 from this severity on (default: error)",
    )
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the texts (default: en)")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that write one format."""
    parser.add_argument("--output", metavar="FILE", help="write there, not to standard output")


def add_formats(parser: argparse.ArgumentParser) -> None:
    """Add ``--format``, which may be given several times."""
    parser.add_argument(
        "--format",
        action="append",
        metavar="NAME[:FILE]",
        help=f"{', '.join(FORMATS)} (default: text); several times: all but one into files",
    )


def add_detail(parser: argparse.ArgumentParser) -> None:
    """Add ``-v`` and ``-q``."""
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument(
        "-v", "--verbose", action="store_true", help="every cause with its evidence, every check"
    )
    how_much.add_argument("-q", "--quiet", action="store_true", help="one line a run")


def detail_of(options: argparse.Namespace) -> Detail:
    """Return how much of a report is told."""
    if options.quiet:
        return "line"
    return "full" if options.verbose else "brief"


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add ``--columns`` and ``--logging-steps``."""
    parser.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="what the log calls a metric, such as loss=my/loss; may be repeated",
    )
    parser.add_argument(
        "--logging-steps",
        type=positive,
        metavar="N",
        help="steps between two rows, for logs that show no step",
    )


Reader = Callable[[str], Run]
"""Opens a run the way that the options say."""


def reader(options: argparse.Namespace) -> Reader:
    """Return what opens a run by the options of :func:`add_reading`."""
    if not options.columns and options.logging_steps is None:
        return open_run
    from sftdiag.columns import given

    return partial(open_run, columns=given(options.columns), logging_steps=options.logging_steps)


def positive(text: str) -> int:
    """Return a whole number above zero, as argparse's type."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def seconds(text: str) -> float:
    """Return a time above zero, as argparse's type."""
    time = float(text)
    if not 0.0 < time < float("inf"):
        raise ValueError
    return time


@contextmanager
def progress_bar(lang: str, *, shown: bool = True) -> Iterator[Callable[[float], None] | None]:
    """Show a bar on a terminal's standard error; yield what takes the share that is done."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    from sftdiag import texts
    from sftdiag.tuning import length_table

    words = texts.load(length_table.__file__, "lengths", lang)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words["reading"], total=1.0)
        yield lambda share: bar.update(task, completed=share)
