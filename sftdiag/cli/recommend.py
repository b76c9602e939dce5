"""``sftdiag recommend``: the guide's settings for a run, as code that trains it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sftdiag.cli import lengths
from sftdiag.config import load_settings
from sftdiag.errors import ConfigError, SourceError
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse

FORMATS = ("python", "yaml", "json")


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "recommend",
        formatter_class=formatter_class,
        description="Prints settings for a run as a script that trains it (python), as a file for "
        "`trl sft --config` (yaml) or as arguments for the classes (json).",
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="rows of the training set (default: those of --data)",
    )
    parser.add_argument(
        "--model-size", required=True, metavar="SIZE", help="parameters, such as 7B or 500M"
    )
    parser.add_argument(
        "--method",
        choices=("full", "lora", "qlora"),
        help="default: by --gpu-memory, else lora",
    )
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--effective-batch",
        type=int,
        metavar="N",
        help="rows an optimizer step, all GPUs together (default: by the guide's table)",
    )
    parser.add_argument("--gpu-memory", type=float, metavar="GIB", help="of one GPU")
    parser.add_argument(
        "--quantiles",
        metavar="Q",
        help="the rows' token lengths, such as 0.9=700,0.95=900",
    )
    parser.add_argument("--model", metavar="NAME", help="name or path, for the code")
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="the training rows, for the code; with --tokenizer they are measured",
    )
    lengths.add_arguments(parser, required=False)
    parser.add_argument("--format", choices=FORMATS, default="python", help="default: python")
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the reasons (default: en)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the recommendation."""
    from sftdiag.tuning import formats
    from sftdiag.tuning.recommend import recommend
    from sftdiag.tuning.setup import parse_size

    lang = options.lang or load_settings().lang
    samples, quantiles = options.samples, parse_quantiles(options.quantiles)
    parameters = parse_size(options.model_size)
    columns, converted, rows = _rows(options, counted=samples is None and options.tokenizer is None)
    if options.tokenizer is not None:
        if options.data is None:
            told = "--tokenizer measures the rows of --data: name them"
            raise ConfigError(told).keyed("needs_data")
        measured = lengths.measure(options, lang, renamed=True)
        rows = measured.rows
        quantiles = quantiles or measured.quantiles
    samples = rows if samples is None else samples
    if samples is None:
        told = "recommend needs --samples N, or --data with the rows"
        raise ConfigError(told).keyed("needs_samples")
    found = recommend(
        samples,
        parameters,
        options.method,
        gpus=options.gpus,
        gpu_memory=options.gpu_memory,
        lengths=quantiles,
        columns=columns,
        converted=converted,
        model=options.model,
        data=options.data,
        effective_batch=options.effective_batch,
        lang=lang,
    )
    sys.stdout.write(formats.FORMATS[options.format](found))
    return 0


def _rows(
    options: argparse.Namespace, *, counted: bool
) -> tuple[tuple[str, ...], str | None, int | None]:
    """Return the columns of the data, the one to convert, and its rows where they are counted.

    Nothing without data.

    Raises:
        SourceError: a script could not train on these columns.
    """
    import os

    from sftdiag.rows.forms import is_readable, to_convert
    from sftdiag.rows.row_tokens import EXPECTED
    from sftdiag.sources.rows import Rows

    # Without a tokenizer the data may lie on the machine that will train.
    if options.data is None or not (options.tokenizer or os.path.exists(options.data)):
        return (), None, None
    rows = Rows(options.data, options.split)
    first = next(iter(rows), {})
    if options.column is None and not is_readable(first):
        shown = ", ".join(first) or "none"
        told = f"row 1: expected {EXPECTED}; the columns are {shown}"
        raise SourceError(options.data, told).keyed("columns", number=1, shown=shown)
    converted = to_convert(first) if options.column is None else None
    return tuple(first), converted, sum(map(len, rows.batches())) if counted else None


def parse_quantiles(text: str | None) -> Mapping[float, int]:
    """Return ``0.9=700,0.95=900`` as shares to tokens.

    Raises:
        ConfigError: it is written otherwise.
    """
    try:
        pairs = [part.split("=") for part in (text or "").split(",") if part.strip()]
        return {float(share): int(tokens) for share, tokens in pairs}
    except ValueError:
        told = f"--quantiles are written as 0.9=700,0.95=900; got {text!r}"
        raise ConfigError(told).keyed("quantiles", given=text) from None
