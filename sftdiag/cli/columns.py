"""``sftdiag columns FILE``: what a log's columns are read as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftdiag import texts
from sftdiag.api import resolve_settings
from sftdiag.cli.options import add_reading, reader
from sftdiag.columns import KNOWN
from sftdiag.sources import find_runs
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse

MOST_VALUES = 3
"""Values of a column shown: enough to see what it holds."""


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "columns",
        formatter_class=formatter_class,
        description="Shows as which format a log is read, and which of its columns as what.",
    )
    parser.add_argument("path", metavar="PATH", help="a log; - is standard input")
    add_reading(parser)
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the texts (default: en)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the format, and a line for each column."""
    language = resolve_settings(lang=options.lang).lang
    words = texts.load(__file__, "columns", language)
    read = reader(options)
    for path in find_runs(options.path):
        log = read(path)
        rows = list(log.entries)
        rows_of = texts.counted(words["rows"].format(rows=len(rows)))
        print(words["head"].format(path=path, format=log.format, rows=rows_of))
        seen = log.columns or {str(name): str(name) for row in rows for name in row}
        known = {name: target for name, target in seen.items() if target}
        wide, wider = (max(map(len, names), default=0) for names in (known.values(), known))
        for name, target in known.items():
            shown = [str(row[target]) for row in rows if target in row][:MOST_VALUES]
            print(f"  {target:<{wide}}  {name:<{wider}}  {', '.join(shown)}".rstrip())
        if others := [name for name in seen if name not in known]:
            print(words["others"].format(names=", ".join(others)))
        if lacking := [n for n in KNOWN if not any(n in row for row in rows)]:
            print(words["lacking"].format(names=", ".join(lacking)))
    return 0
