"""``sftdiag rules``: every code, what finds it and how severe it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftdiag.config import load_settings
from sftdiag.guide.catalogue import rules
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "rules",
        formatter_class=formatter_class,
        description="Lists every code with its name and severity.",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the titles (default: en)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print one line a code, or a JSON list of them."""
    lang = options.lang or load_settings().lang
    if options.format == "json":
        import json

        listed = [{name: getattr(rule, name) for name in rule.fields} for rule in rules(lang)]
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return 0
    for rule in rules(lang):
        print(f"{rule.code}  {rule.name:<20}  {rule.severity:<8}  {rule.title} ({rule.seen_by})")
    return 0
