"""Since: a moment given as an age, a date or seconds."""

from __future__ import annotations

import time
from datetime import datetime

from sftdiag.errors import ConfigError

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def since_seconds(given: str | float | None) -> float:
    """Return the moment in seconds since 1970; 0 where none is given.

    Raises:
        ConfigError: it is none.

    Examples:
        >>> since_seconds("1970-01-01T00:00:10+00:00"), since_seconds(None)
        (10.0, 0.0)
    """
    if given is None or isinstance(given, (int, float)):
        return float(given or 0.0)
    number, unit = given[:-1], given[-1:]
    if unit in _UNITS and number.isdecimal():
        return time.time() - int(number) * _UNITS[unit]
    try:
        return datetime.fromisoformat(given).timestamp()
    except (ValueError, OverflowError):
        expected = "30m, 12h, 7d, 2w, or a date such as 2026-01-31"
        raise ConfigError(f"since must be {expected}; got {given!r}") from None
