"""Where a subcommand's output goes: standard output or files, in one or several formats."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from sftdiag.errors import ConfigError, meant
from sftdiag.report import FORMATS
from sftdiag.report.results import Results
from sftdiag.report.text import Detail

STANDARD = "-"


class Output:
    """One format and where it is written.

    Attributes:
        format: one of :data:`~sftdiag.report.FORMATS`.
        file: a path, or ``"-"`` for standard output.
    """

    def __init__(self, format: str, file: str = STANDARD) -> None:
        self.format = format
        self.file = file


def parse(given: Sequence[str] | None, file: str | None) -> list[Output]:
    """Return what ``--format NAME[:FILE]`` and ``--output FILE`` ask for; text without them.

    Raises:
        ConfigError: no such format, or two that go to the same place.
    """
    found = []
    for text in given or ["text"]:
        name, colon, place = text.partition(":")
        if name not in FORMATS or (colon and not place):
            known = ", ".join(FORMATS)
            told = f"--format is one of {known}, with :FILE to write it; got {text!r}"
            raise ConfigError(told + meant(name, FORMATS)).keyed("format", known=known, given=text)
        found.append(Output(name, place or STANDARD))
    if file is not None:
        if found[0].file != STANDARD:
            told = f"--output {file}: the first --format names its own file, {found[0].file}"
            raise ConfigError(told).keyed("two_files", file=file, other=found[0].file)
        found[0].file = file
    places = [output.file for output in found]
    for place in places:
        if places.count(place) > 1:
            where = "standard output" if place == STANDARD else place
            told = f"two formats would go to {where}: give all but one a file, as in json:FILE"
            raise ConfigError(told).keyed("same_place", where=where)
    return found


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Write on where nobody reads any more (``| head``), so that the exit code stays the run's."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write(outputs: Sequence[Output], results: Results, detail: Detail) -> None:
    """Write every output; those in files first, so that a reader that goes away loses none.

    Raises:
        ConfigError: a file cannot be written.
    """
    for output in sorted(outputs, key=lambda output: output.file == STANDARD):
        if output.file != STANDARD:
            _write_file(output.file, rendered(output.format, results, detail))
        elif output.format == "text":
            _print_text(results, detail)
        else:
            sys.stdout.write(rendered(output.format, results, detail))


def shows_text(outputs: Sequence[Output]) -> bool:
    """Return whether text for a person goes to standard output."""
    return any(output.format == "text" and output.file == STANDARD for output in outputs)


def plot(results: Results, path: str) -> None:
    """Draw the one run that was read.

    Raises:
        ConfigError: there are more, or none; matplotlib is missing; the file cannot be written.
    """
    from sftdiag.report import plot as picture

    if len(results.reports) != 1:
        told = f"--plot draws one run, and there are {len(results.reports)}"
        raise ConfigError(told).keyed("one_plot", count=len(results.reports))
    picture.save(results.reports[0], results.courses[0], path)


def rendered(name: str, results: Results, detail: Detail) -> str:
    """Return the results in one format."""
    if name == "json":
        from sftdiag.report import json

        return json.render(results.found)
    if name == "text":
        from sftdiag.report import text

        between = "" if detail == "line" else "\n"
        return between.join(text.render(report, detail=detail) for report in results.reports)
    renderer = import_module(f"sftdiag.report.{name}")
    found: str = renderer.render(results)
    return found


def _print_text(results: Results, detail: Detail) -> None:
    """Print reports: in colour on a terminal, plain elsewhere."""
    from sftdiag.report import text

    for index, report in enumerate(results.reports):
        if index and detail != "line":
            print()
        if sys.stdout.isatty():
            text.print_to_terminal(report, detail)
        else:
            text.write_plain(report, detail)


def deliver(content: str, file: str | None) -> None:
    """Write content to a file, or to standard output where none is given.

    Raises:
        ConfigError: the file cannot be written.
    """
    if file is None:
        with reader_may_leave():
            sys.stdout.write(content)
    else:
        _write_file(file, content)


def _write_file(path: str, content: str) -> None:
    try:
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        told = f"{path}: cannot be written: {error.strerror}"
        raise ConfigError(told).keyed("unwritable", path=path, why=error.strerror) from None
