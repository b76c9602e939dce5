"""``sftdiag probe MODEL_DIR``: ask a finished model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftdiag.api import resolve_settings
from sftdiag.cli import output
from sftdiag.cli.analyze import exit_code
from sftdiag.cli.options import add_verdict, seconds
from sftdiag.errors import ConfigError
from sftdiag.report import FORMATS
from sftdiag.report.results import Results

if TYPE_CHECKING:
    import argparse

SECONDS = 120.0
"""A finished model holds up no run: 0.45 s for each of the 256 steps of generation that 16 replies
take."""


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "probe",
        formatter_class=formatter_class,
        description="Lets a model reply to prompts and measures repetition, forgetting and "
        "unnatural replies, against the model before training and the reference answers.",
    )
    parser.add_argument("model", metavar="MODEL_DIR", help="a model's or an adapter's folder")
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        required=True,
        help="a prompt a line: text, or JSON with prompt (and completion) or messages; "
        "the first 16 are asked",
    )
    parser.add_argument(
        "--base", metavar="DIR", help="the model before training: a folder, or its name"
    )
    parser.add_argument("--adapter", metavar="DIR", help="an adapter to put on the model")
    parser.add_argument(
        "--texts", metavar="FILE", help="general text, a paragraph a line, instead of ours"
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=SECONDS,
        help="time for each probe (default: %(default)g)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    add_verdict(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask and print; see :func:`sftdiag.cli.main.main` for the exit codes."""
    settings = resolve_settings(fail_on=options.fail_on, lang=options.lang)
    try:
        from sftdiag.probing import files, offline
    except ImportError:
        raise ConfigError("asking a model needs pip install 'sftdiag[trainer]'") from None
    from sftdiag.probes.settings import Probes

    probes = Probes(
        seconds=options.seconds,
        prompts=files.read_prompts(options.prompts),
        texts=files.read_texts(options.texts) if options.texts else None,
    )
    report = offline.probe_model(
        options.model, probes, settings, base=options.base, adapter=options.adapter
    )
    results = Results([report], settings.fail_on)
    output.write([output.Output(options.format)], results, "full")
    return exit_code(results)
