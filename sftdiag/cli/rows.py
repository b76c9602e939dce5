"""``sftdiag rows RUN --finding SFT105@120 --data ROWS``: the training rows behind a finding."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sftdiag import texts
from sftdiag.api import replay, resolve_settings
from sftdiag.errors import ConfigError
from sftdiag.findings import StepRows
from sftdiag.report import rows as shown
from sftdiag.sources import open_run
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "rows",
        formatter_class=formatter_class,
        description="Shows the rows that the steps behind a finding were trained on, the most "
        "surprising to the model first, as far as a callback made by attach kept them.",
    )
    parser.add_argument("path", metavar="RUN", help="a run's or checkpoint's folder")
    parser.add_argument("--finding", required=True, metavar="ID", help="such as SFT105@120")
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="the training rows: JSON lines, Parquet, a saved dataset, or a folder of files; "
        "without it only their numbers are shown",
    )
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the texts (default: en)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the rows of one finding."""
    settings = resolve_settings(lang=options.lang)
    words = texts.load(shown.__file__, "rows", settings.lang)
    opened = open_run(options.path)
    report = replay(opened, settings)
    finding = next((f for f in report.findings if f.id == options.finding), None)
    if finding is None:
        ids = ", ".join(f.id for f in report.findings) or words["nothing"]
        raise ConfigError(words["unknown"].format(id=options.finding, ids=ids))
    held: Mapping[int, str] = {}
    if options.data and finding.rows:
        wanted = {row for rows in finding.rows for row in rows.rows}
        held, total = _texts(options.data, wanted)
        trained = opened.context.train_samples
        if trained is not None and trained != total:
            told = words["other_data"].format(trained=trained, given=total)
            print(texts.counted(told), file=sys.stderr)
            held = {}

    def text(rows: StepRows, row: int) -> str | None:
        return held.get(row)

    for line in shown.with_text(finding, text, settings.lang):
        print(line)
    return 0


def _texts(path: str, wanted: set[int]) -> tuple[Mapping[int, str], int]:
    """Return the text of the rows of these numbers, and how many rows there are."""
    from sftdiag.sources.rows import Rows

    found, number = {}, -1
    for number, row in enumerate(Rows(path)):
        if number in wanted:
            found[number] = _as_text(row)
    return found, number + 1


def _as_text(row: Mapping[str, Any]) -> str:
    """Return a row as a person reads it: turns with their roles, else its columns."""
    turns = row.get("messages") or row.get("conversations")
    if isinstance(turns, list) and all(isinstance(turn, Mapping) for turn in turns):
        return " ".join(
            f"{turn.get('role') or turn.get('from')}: {turn.get('content') or turn.get('value')}"
            for turn in turns
        )
    return " ".join(f"{name}: {value}" for name, value in row.items())
