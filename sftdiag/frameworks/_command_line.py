"""A framework's command line, started as a module of this package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from sftdiag.errors import ConfigError


def ends_with(main: Callable[[list[str]], int]) -> NoReturn:
    """Leave with the exit code of a command line; with 2 and one line where a setting is wrong."""
    try:
        raise SystemExit(main(sys.argv[1:]))
    except ConfigError as error:
        sys.stderr.write(f"sftdiag: {error}\n")
        raise SystemExit(2) from None
