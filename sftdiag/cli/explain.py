"""``sftdiag explain CODE``: the guide's row on a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftdiag.config import load_settings
from sftdiag.guide.catalogue import explain
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "explain",
        formatter_class=formatter_class,
        description="Explains a finding by code or name; `curves` explains the four loss curves.",
    )
    parser.add_argument("code", metavar="CODE", help="such as SFT201, eval-loss-rising or curves")
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the text (default: en)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the explanation."""
    print(explain(options.code, options.lang or load_settings().lang))
    return 0
