"""``sftdiag``: parses the arguments and runs one subcommand."""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from sftdiag.errors import SftdiagError
from sftdiag.version import __version__

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_ERROR = 2
EXIT_INCONCLUSIVE = 3

# argparse asks shutil for the terminal's width, whose import costs more than parsing does.
_COLUMNS = os.environ.get("COLUMNS", "")
HelpFormatter = partial(argparse.HelpFormatter, width=int(_COLUMNS) if _COLUMNS.isdecimal() else 80)


COMMANDS = (
    *(
        "analyze",
        "columns",
        "compare",
        "fleet",
        "inspect",
        "explain",
        "rules",
        "recommend",
        "lengths",
        "probe",
        "rows",
        "watch",
    ),
    "mcp",
    "completion",
)
"""In the order of the help; each is a module of its name."""


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the whole command line, or of one command: the others need not load."""
    top = argparse.ArgumentParser(
        prog="sftdiag",
        description="Diagnoses supervised fine-tuning runs, and says how to set them up.",
        formatter_class=HelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sftdiag {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name in (only,) if only in COMMANDS else COMMANDS:
        import_module(f"sftdiag.cli.{name}").register(commands, HelpFormatter)
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0: nothing at or above ``--fail-on``; 1: something; 2: bad usage or unreadable input; 3: cannot
    judge, with ``--require-verdict``.
    """
    # A process that reads a log once makes no garbage in cycles: looking for it only costs time.
    gc.disable()
    # A terminal or pipe that cannot show a character gets a question mark, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    options = None
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        _check_command(given)
        options = parser(given[0] if given else None).parse_args(given)
        code: int = options.run(options)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_ERROR
    except SftdiagError as error:
        from sftdiag.cli.told import told

        print(f"sftdiag: {told(error, options)}", file=sys.stderr)
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
