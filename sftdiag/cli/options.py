"""Options that several subcommands share: what to report, how severe, in which language."""

from __future__ import annotations

import argparse

from sftdiag.texts import LANGUAGES


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
