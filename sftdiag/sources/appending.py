"""Rows appended to a file that stands there: few calls to the system, not the many of open()."""

from __future__ import annotations

import os

_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)


def append(path: str, rows: bytes, *, before: int = 0, size: int = 1) -> bool:
    """Append whole rows; return False where there is no file.

    Args:
        path: the file's.
        rows: them.
        before: bytes that the file begins with.
        size: bytes of each row; a part of one, that a full disk left, is cut off first.

    Raises:
        OSError: it cannot be written, or not as a whole.
    """
    try:
        file = os.open(path, _FLAGS)
    except FileNotFoundError:
        return False
    try:
        if size > 1:
            end = os.fstat(file).st_size
            if torn := (end - before) % size:
                os.ftruncate(file, end - torn)
        if os.write(file, rows) < len(rows):
            raise OSError(f"{path}: short write")
    finally:
        os.close(file)
    return True
