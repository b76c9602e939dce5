"""``sftdiag lengths DATA --tokenizer DIR``: how long the rows are, and what max_length cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftdiag.cli.options import progress_bar
from sftdiag.config import load_settings
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse

    from sftdiag.tuning.lengths import Lengths


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "lengths",
        formatter_class=formatter_class,
        description="Counts the tokens of every row as TRL would tokenize it, with the chat "
        "template: quantiles, a histogram, and what each max_length holds, cuts and costs.",
    )
    parser.add_argument(
        "data", metavar="DATA", help="JSON lines, Parquet, a saved dataset, or a folder of files"
    )
    add_arguments(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the texts (default: en)")
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the arguments that say how the rows are read."""
    parser.add_argument(
        "--tokenizer",
        required=required,
        metavar="DIR",
        help="a tokenizer's folder, or a name in the local cache",
    )
    parser.add_argument(
        "--column", metavar="NAME", help="the column to read (default: found by TRL's names)"
    )
    parser.add_argument(
        "--split", default="train", metavar="NAME", help="of a saved dataset (default: train)"
    )


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    from sftdiag.tuning import length_table

    lang = options.lang or load_settings().lang
    found = measure(options, lang)
    if options.format == "json":
        import json

        print(json.dumps(found.to_dict(), indent=2))
    else:
        from rich.console import Console

        length_table.write_to(Console(highlight=False), found, lang)
    return 0


def measure(options: argparse.Namespace, lang: str, *, renamed: bool = False) -> Lengths:
    """Measure ``options.data`` under a progress bar on a terminal's standard error.

    Args:
        options: of the command line.
        lang: of the bar.
        renamed: ShareGPT's roles are called user and assistant.
    """
    from sftdiag.rows.lengths import measure_lengths

    with progress_bar(lang) as progress:
        return measure_lengths(
            options.data,
            options.tokenizer,
            column=options.column,
            split=options.split,
            progress=progress,
            renamed=renamed,
        )
