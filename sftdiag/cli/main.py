"""``sftdiag``: parses the arguments and runs one subcommand."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Collection, Sequence
from functools import partial
from importlib import import_module
from types import SimpleNamespace

from sftdiag.cli.plain import NotPlain, Plain
from sftdiag.errors import SftdiagError
from sftdiag.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

EXIT_OK = 0
EXIT_ERROR = 2

COMMANDS = {
    "analyze": "diagnose the log of one or more runs",
    "columns": "show what a log's columns are read as",
    "compare": "hold runs against a baseline, beyond the noise of both",
    "fleet": "diagnose all runs below folders, one line each",
    "inspect": "check the rows of a data file before training",
    "explain": "explain a finding, its causes and fixes",
    "rules": "list all codes",
    "recommend": "print settings for a run, each with its reason and source",
    "search": "search learning rate, epochs, LoRA rank and batch",
    "lengths": "measure the rows' tokens and what each max_length cuts",
    "probe": "ask a finished model: repetition, forgetting, unnatural replies",
    "rows": "show the training rows behind a spike, a NaN or a skipped step",
    "watch": "follow a run in another process as it logs",
    "mcp": "serve analyze, explain, compare and fleet to agents (MCP, over stdio)",
    "completion": "print a script that completes commands and options in a shell",
}
"""What each does, in the order of the help; each is a module of its name."""


class _Commands:
    """What a command adds itself to, with its line of the table above."""

    def __init__(self, commands: Any) -> None:
        self._commands = commands

    def add_parser(self, name: str, **given: Any) -> argparse.ArgumentParser:
        """Add the command; as argparse does it."""
        added: argparse.ArgumentParser = self._commands.add_parser(
            name, help=COMMANDS[name], **given
        )
        return added


def parser(only: Collection[str] = COMMANDS.keys()) -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    Args:
        only: the commands that are loaded; where none is, all stand in the help with their names.
    """
    import argparse  # loads for what is not said in full

    from sftdiag.version import __version__

    # argparse asks shutil for the terminal's width, whose import costs more than parsing does.
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 80
    formatter: Any = partial(argparse.HelpFormatter, width=width)
    top = argparse.ArgumentParser(
        prog="sftdiag",
        description="Diagnoses supervised fine-tuning runs, and says how to set them up.",
        formatter_class=formatter,
    )
    top.add_argument("--version", action="version", version=f"sftdiag {__version__}")
    commands = _Commands(top.add_subparsers(metavar="COMMAND", required=True))
    for name in COMMANDS:
        if name in only:
            import_module(f"sftdiag.cli.{name}").register(commands, formatter)
        elif not only:
            commands.add_parser(name)
    return top


def _check_command(given: Sequence[str]) -> None:
    """Raise ConfigError where the first word is no command."""
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        from sftdiag.errors import ConfigError, meant

        known = ", ".join(COMMANDS)
        told = f"unknown command {given[0]!r}; the commands are {known}"
        raise ConfigError(told + meant(given[0], COMMANDS)).keyed(
            "command", given=given[0], known=known
        )


def _plain(name: str, words: Sequence[str]) -> SimpleNamespace | None:
    """Return the options of a command's plain line, or None where argparse must read it."""
    command = Plain()
    try:
        import_module(f"sftdiag.cli.{name}").register(command, None)
    except NotPlain:
        return None
    return command.read(words)


def _parsed(given: Sequence[str]) -> argparse.Namespace | SimpleNamespace:
    """Return the options; argparse's messages are in the language asked for."""
    only = [name for name in given[:1] if name in COMMANDS]
    if only and (options := _plain(only[0], given[1:])) is not None:
        return options
    from sftdiag.cli.usage import argparse_speaks, asked_language

    with argparse_speaks(asked_language(given)):
        return parser(only).parse_args(given)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0: nothing at or above ``--fail-on``; 1: something; 2: bad usage or unreadable input; 3: cannot
    judge, with ``--require-verdict``.
    """
    # A stream that was closed (`>&-`) is none to Python: what is said there goes nowhere.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    # A terminal or pipe that cannot show a character gets a question mark, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = None
    try:
        _check_command(given)
        options = _parsed(given)
        code: int = options.run(options)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_ERROR
    except SftdiagError as error:
        from sftdiag.cli.told import told
        from sftdiag.cli.usage import asked_language

        lang = getattr(options, "lang", None) or asked_language(given)
        print(f"sftdiag: {told(error, lang)}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away (`| head`): leave without a traceback at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        print(f"sftdiag: internal error, please report it with the log: {what}", file=sys.stderr)
        return EXIT_ERROR
    return code
