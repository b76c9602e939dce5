"""JSON of logs, of the same result as by json, without what its import or its reading takes.

Large logs are decoded by msgspec, four times as fast as json. Loading msgspec takes as long as json
takes for some megabytes, so small ones never see it: they are read by the scanner of json in C, but
without the package json, whose regular expressions take as long to compile as a small log to judge.
What either refuses (msgspec a bare NaN, numbers beyond a float, halves of surrogate pairs) is left
to json, which reads it or says what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf, nan
from types import SimpleNamespace

from sftdiag.hints import Any

WORTH_BYTES = 4_000_000
"""Bytes from which msgspec saves more than its import takes: that is 30 ms, and it decodes a
megabyte in 2.5 ms, json in 10."""

NOTHING = object()
"""Stands for a text that was not decoded; None is a JSON value."""

_BLANK = " \t\n\r"

_CONSTANTS = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}

_read_bytes = 0


def quickly(content: bytes) -> Any:
    """Return the value that json would return; :data:`NOTHING` where json has to be asked."""
    decode = _decoder(len(content))
    if decode is None:
        return NOTHING
    try:
        return decode(content)
    except Exception:
        return NOTHING


def scanned(text: str) -> Any:
    """Return the value that json would return; :data:`NOTHING` where json has to be asked."""
    scan = _scanner()
    if scan is None:
        return NOTHING
    text = text.strip(_BLANK)
    try:
        value, end = scan(text, 0)
    except (StopIteration, ValueError, RecursionError, SystemError):
        # Python 3.11 raises the last where its json, of which its error is, was not imported.
        return NOTHING
    return value if end == len(text) else NOTHING


def encoding(data: bytes) -> str:
    """Return the encoding of a JSON text, as json finds it out by its first bytes."""
    if data[:1] in (b"{", b"[") and 0 not in data[:4]:
        return "utf-8"
    import json

    return json.detect_encoding(data)


def or_none(text: str) -> Any:
    """Return the value of a line or part that may be cut off or no JSON; None, then."""
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _decoder(size: int) -> Callable[[bytes], Any] | None:
    """Return msgspec's decoder once it is worth its import, over all that was read so far."""
    global _read_bytes
    _read_bytes += size
    if "msgspec" not in sys.modules and _read_bytes < WORTH_BYTES:
        return None
    try:
        from msgspec.json import decode
    except ImportError:
        return None
    return decode


def _scanner() -> Callable[[str, int], tuple[Any, int]] | None:
    """Return the function by which :func:`json.loads` reads a value, or None without one in C."""
    ways: Any = SimpleNamespace(strict=True, object_hook=None, object_pairs_hook=None)
    ways.parse_float, ways.parse_int, ways.parse_constant = float, int, _CONSTANTS.__getitem__
    try:
        from _json import make_scanner

        return make_scanner(ways)
    except (ImportError, AttributeError, TypeError):
        # Another Python, or one whose scanner asks for more.
        return None
