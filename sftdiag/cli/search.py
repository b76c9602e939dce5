"""``sftdiag search SCRIPT:make_trainer``: the guide's four steps, as watched trials."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from sftdiag.cli.options import add_output, positive
from sftdiag.cli.output import deliver
from sftdiag.errors import ConfigError, printable
from sftdiag.texts import LANGUAGES

if TYPE_CHECKING:
    import argparse

FORMATS = ("text", "json", "html")


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "search",
        formatter_class=formatter_class,
        description="Trains in the guide's order, each trial under watch, and keeps what is better "
        "beyond noise. Started again it goes on; started several times it shares the trials.",
    )
    parser.add_argument(
        "script",
        metavar="SCRIPT:FUNCTION",
        help="a Python file with a function that makes a trainer of a dict of settings "
        "(default: make_trainer)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="an Optuna storage such as sqlite:///search.db, or a journal's path "
        "(default: a journal in the folder)",
    )
    parser.add_argument(
        "--folder",
        default="sftdiag-search",
        metavar="DIR",
        help="of the trials (default: sftdiag-search)",
    )
    parser.add_argument(
        "--name", default="sftdiag", help="of the search, where a storage holds several"
    )
    parser.add_argument(
        "--start",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting to begin with, such as learning_rate=2e-4; may be repeated",
    )
    parser.add_argument(
        "--steps",
        metavar="NAMES",
        help="of learning_rate,num_train_epochs,r,effective_batch (default: all)",
    )
    parser.add_argument(
        "--budget",
        metavar="TIME",
        help="GPU time of all trials, such as 90m or 12h (time, where there is no GPU); what is "
        "left after the four steps refines what they chose (default: the four steps)",
    )
    parser.add_argument(
        "--on-error", choices=("continue", "stop"), default="continue", help="after a failed trial"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="run again what failed in an earlier call"
    )
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="who trains (default: local)"
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="workers, with Ray")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    add_output(parser)
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the texts (default: en)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Search and print the result; 2 when the script or the storage cannot be used."""
    import gc

    # The command line runs without looking for garbage in cycles; trainers make much of it.
    gc.enable()
    start = starts(options.start)
    try:
        import sftdiag.searches.store  # noqa: F401
        from sftdiag.searches.search import search
        from sftdiag.searches.steps import STEPS
    except ImportError as error:
        told = ConfigError(str(error))
        # The store's own sentence names no module; another one's is told as it is.
        raise (told if error.name else told.keyed("needs_optuna")) from None
    make_trainer = function_of(options.script)
    # What the trainers print is no part of the result, which may go into a file or a pipe.
    with shown_on_terminal(options.lang or "en") as progress, redirect_stdout(sys.stderr):
        result = search(
            make_trainer,
            start or None,
            storage=options.storage,
            folder=options.folder,
            name=options.name,
            steps=options.steps.split(",") if options.steps else STEPS,
            budget=options.budget,
            on_error=options.on_error,
            retry_failed=options.retry_failed,
            engine=options.engine,
            jobs=options.jobs,
            lang=options.lang,
            progress=progress,
        )
    deliver(rendered(result, options.format), options.output)
    return 0


def rendered(result: Any, form: str) -> str:
    """Return the result in a format."""
    if form == "html":
        from sftdiag.searches import html

        return html.page(result)
    if form == "json":
        import json

        document = json.dumps(result.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return f"{document}\n"
    from sftdiag.searches import text

    return text.render(result)


def starts(given: list[str]) -> dict[str, float]:
    """Return the settings of ``--start``.

    Raises:
        ConfigError: one is not written as NAME=VALUE.
    """
    found = {}
    for item in given:
        name, _, value = item.partition("=")
        try:
            number = float(value)
        except ValueError:
            told = f"--start is written as learning_rate=2e-4; got {item!r}"
            raise ConfigError(told).keyed("search_start", given=item) from None
        found[name.strip()] = int(number) if number.is_integer() else number
    return found


def function_of(given: str) -> Callable[[dict[str, Any]], Any]:
    """Return the function of ``SCRIPT:FUNCTION``; what the script imports is found beside it.

    Raises:
        ConfigError: there is no such file or function, or the script fails.
    """
    import importlib.util
    from pathlib import Path

    path, _, name = given.rpartition(":") if given.rpartition(":")[0] else (given, "", "")
    script = Path(path)
    if not script.is_file():
        raise ConfigError(f"{path}: no such Python file").keyed("no_script", path=path)
    sys.path.insert(0, str(script.resolve().parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: not a Python file").keyed("not_python", path=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = _line_of(error, str(script))
        said = printable(f"{type(error).__name__}: {error}")
        told = f"{path}, line {line}: {said}"
        raise ConfigError(told).keyed("script_fails", path=path, line=line, said=said) from error
    function = getattr(module, name or "make_trainer", None)
    if not callable(function):
        told = f"{path}: has no function {name or 'make_trainer'}"
        raise ConfigError(told).keyed("no_function", path=path, name=name or "make_trainer")
    made: Callable[[dict[str, Any]], Any] = function
    return made


def _line_of(error: Exception, script: str) -> int:
    """Return the line of the script that an error came from."""
    if isinstance(error, SyntaxError) and error.filename == script:
        return error.lineno or 0
    lines = [at for at in extract_tb(error.__traceback__) if at.filename == script]
    return (lines[-1].lineno if lines else None) or 0


@contextmanager
def shown_on_terminal(lang: str) -> Iterator[Callable[[Any], None] | None]:
    """Show on a terminal's standard error how far the search is, and the time left."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from sftdiag.searches import words

    columns = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda now: bar.update(
            task, completed=now.of_all, description=words.standing(now, lang)
        )
