"""``sftdiag inspect DATA --tokenizer DIR``: what labels, template and rows say before training."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sftdiag.api import resolve_settings
from sftdiag.cli.analyze import exit_code
from sftdiag.cli.options import add_selection, add_verdict, progress_bar
from sftdiag.report.results import Results

if TYPE_CHECKING:
    import argparse


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "inspect",
        formatter_class=formatter_class,
        description="Checks labels, chat template and rows as TRL's SFTTrainer would make them "
        "with these arguments, and shows a row for each finding, its trained tokens marked.",
    )
    parser.add_argument(
        "data", metavar="DATA", help="JSON lines, Parquet, a saved dataset, or a folder of files"
    )
    parser.add_argument(
        "--tokenizer", required=True, metavar="DIR", help="a tokenizer's folder or hub name"
    )
    parser.add_argument("--eval", metavar="DATA", help="the evaluation rows")
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="TOKENS",
        help="cut rows there, as SFTConfig.max_length (default: no cut)",
    )
    parser.add_argument(
        "--assistant-only-loss", action="store_true", help="as SFTConfig.assistant_only_loss"
    )
    parser.add_argument(
        "--train-on-prompt", action="store_true", help="the prompt is trained on purpose"
    )
    parser.add_argument("--full", action="store_true", help="look at every row")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    add_selection(parser)
    add_verdict(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check and print; 1 when something is at or above ``--fail-on``."""
    settings = resolve_settings(
        select=options.select,
        ignore=options.ignore,
        fail_on=options.fail_on,
        lang=options.lang,
        train_on_prompt=options.train_on_prompt or None,
    )
    from sftdiag.rows.data_files import inspect_data

    with progress_bar(settings.lang, shown=options.full) as progress:
        report = inspect_data(
            options.data,
            options.tokenizer,
            evaluation=options.eval,
            max_length=options.max_length,
            assistant_only_loss=options.assistant_only_loss,
            full=options.full,
            progress=progress,
            settings=settings,
        )
    results = Results([report], settings.fail_on)
    if options.format == "json":
        from sftdiag.report import json

        sys.stdout.write(json.render(results.found))
    else:
        report.show()
    return exit_code(results)
