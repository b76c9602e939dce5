"""Opening: a file's first bytes, and its lines as a stream, whatever its encoding."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from typing import IO

from sftdiag.errors import SourceError

HEAD_BYTES = 1 << 16
"""Bytes that a format is recognised by: a notebook's or state's keys stand within them."""

CHUNK_BYTES = 1 << 18
"""Bytes read at a time."""

LONGEST_LINE = 1 << 20
"""Characters kept of a line: a row of a log has hundreds. ms-swift's last line, which holds the
whole log again, and lines of notebooks may be longer; those that are needed whole are parsed
whole."""

_GZIP = b"\x1f\x8b"


class Head:
    """The beginning of a file.

    Attributes:
        path: the file.
        data: its first bytes.
        text: these decoded; empty where they are no text.
        whole: whether that is the whole file.
        run: which of several runs in it is asked for; empty for the first.
    """

    def __init__(self, path: str, run: str = "") -> None:
        self.path, self.run = path, run
        try:
            with _open(path) as file:
                self.data = file.read(HEAD_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceError(path, f"cannot be read: {reason}") from None
        self.whole = len(self.data) < HEAD_BYTES
        # A log that was cut to nothing while a process wrote on begins with zeros.
        data = self.data.lstrip(b"\0") if self.data.startswith(b"\0\0\0\0") else self.data
        self.encoding = json.detect_encoding(data)
        # A head may end within a character, and a log may hold a few bytes of something else.
        text = codecs.getincrementaldecoder(self.encoding)("replace").decode(data)
        broken = text.count("\ufffd") + text.count("\0")
        if not self.encoding.startswith("utf-8"):
            # Any bytes are some UTF-16; names of metrics are ASCII.
            foreign = sum(not c.isascii() for c in text)
            broken += foreign if foreign > MOST_FOREIGN * len(text) else 0
        self.text = "" if broken > MOST_BROKEN * max(1, len(text)) else text

    def first_lines(self, count: int) -> list[str]:
        """Return the first lines that are not blank, without one that the head cuts off."""
        lines = self.text.splitlines()
        if not self.whole and len(lines) > 1:
            lines.pop()
        return [line for line in lines if line.strip()][:count]


MOST_BROKEN = 0.05
"""Share of characters that no text has more of; progress bars in a wrong encoding have many."""


MOST_FOREIGN = 0.7
"""Share of characters beyond ASCII in a log in UTF-16, whose bars and remarks may be Chinese."""


def _open(path: str) -> IO[bytes]:
    file = open(path, "rb")  # noqa: SIM115
    packed = file.read(2) == _GZIP
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[return-value]


def lines(path: str, encoding: str = "utf-8", longest: int = LONGEST_LINE) -> Iterator[str]:
    """Yield a file's lines, ended by newlines or carriage returns, in bounded memory.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        with _open(path) as file:
            yield from split(iter(lambda: file.read(CHUNK_BYTES), b""), encoding, longest)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(path, f"cannot be read: {reason}") from None


def split(
    chunks: Iterator[bytes], encoding: str = "utf-8", longest: int = LONGEST_LINE
) -> Iterator[str]:
    """Yield the lines in a stream of bytes; of a line without an end its beginning."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    begun: list[str] = []
    kept = 0
    for chunk in chunks:
        text = decoder.decode(chunk).replace("\r\n", "\n").replace("\r", "\n")
        first, *others = text.split("\n")
        if kept < longest:
            begun.append(first)
            kept += len(first)
        if others:
            yield "".join(begun)
            *whole, rest = others
            yield from whole
            begun, kept = [rest], len(rest)
    if kept:
        yield "".join(begun)


def tail(path: str, size: int, encoding: str = "utf-8") -> list[str]:
    """Return the last lines of a file that is no archive; none where it cannot be read."""
    try:
        with open(path, "rb") as file:
            if file.read(2) == _GZIP:
                return []
            file.seek(max(0, os.path.getsize(path) - size))
            return list(split(iter([file.read(size)]), encoding))
    except OSError:
        return []


def read_text(path: str, limit: int) -> str:
    """Return a whole file as text.

    Raises:
        SourceError: it cannot be read, or is larger than ``limit`` bytes.
    """
    try:
        with _open(path) as file:
            data = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(path, f"cannot be read: {reason}") from None
    if len(data) > limit:
        raise SourceError(path, f"is larger than {limit >> 20} MB, too large to read whole")
    return data.decode(json.detect_encoding(data), "replace")
