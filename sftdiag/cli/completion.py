"""``sftdiag completion SHELL``: prints what a shell completes the command line with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftdiag.errors import ConfigError

if TYPE_CHECKING:
    import argparse

SHELLS = ("bash", "zsh", "tcsh")
"""Those that shtab knows."""


def register(commands: Any, formatter_class: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "completion",
        formatter_class=formatter_class,
        description="Prints a completion script; needs pip install 'sftdiag[completion]'. In bash: "
        'eval "$(sftdiag completion bash)"',
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script.

    Raises:
        ConfigError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError:
        told = "completion needs shtab: pip install 'sftdiag[completion]'"
        raise ConfigError(told).keyed("needs_shtab") from None
    from sftdiag.cli.main import parser

    print(shtab.complete(parser(), options.shell))
    return 0
