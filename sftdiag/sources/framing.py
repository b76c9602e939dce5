"""Framing: records in the log format of LevelDB, and the fields of protocol buffers in them.

W&B's and SwanLab's offline files are both: a header of 7 bytes, then blocks of 32 KiB that hold
records in pieces. Neither tool keeps a reader that can be imported; this is as much of the two
formats as a log's numbers need. Nothing here trusts a length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

HEADER_BYTES, BLOCK_BYTES, PIECE_BYTES = 7, 32_768, 7
"""Sizes of a file's header, of a block, and of the header of a piece (checksum, length, type)."""

FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
"""Types of pieces."""

LONGEST_RECORD = 16 << 20
"""Bytes of a record that are kept: a row of a log has thousands, a stored configuration some
hundred thousand."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers; groups are long gone."""

Field = tuple[int, int | float | bytes]


def records(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the records behind a file's header; a damaged block is passed over.

    A file that is being written ends in zeros or in half a record, which ends the reading.
    """
    block = file.read(BLOCK_BYTES)
    place, parts = HEADER_BYTES, list[bytes]()
    while block:
        while place + PIECE_BYTES <= len(block):
            length, kind = struct.unpack_from("<HB", block, place + 4)
            start = place + PIECE_BYTES
            piece = block[start : start + length]
            if kind not in (FULL, FIRST, MIDDLE, LAST) or len(piece) < length:
                parts = []
                break
            place = start + length
            if kind in (FULL, FIRST):
                parts = []
            if sum(map(len, parts)) + length <= LONGEST_RECORD:
                parts.append(piece)
            if kind in (FULL, LAST):
                yield b"".join(parts)
                parts = []
        block, place = file.read(BLOCK_BYTES), 0


def fields(message: bytes) -> Iterator[Field]:
    """Yield the fields of a message, in order: whole numbers, doubles, floats or bytes.

    What is no message ends the reading.

    Examples:
        >>> list(fields(bytes([8, 150, 1, 18, 2, 104, 105])))
        [(1, 150), (2, b'hi')]
    """
    place, size = 0, len(message)
    while place < size:
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield number, value
        elif kind == BYTES:
            length, place = _varint(message, place)
            if length > size - place:
                return
            yield number, message[place : place + length]
            place += length
        elif kind in (FIXED64, FIXED32):
            width, shape = (8, "<d") if kind == FIXED64 else (4, "<f")
            if width > size - place:
                return
            yield number, struct.unpack_from(shape, message, place)[0]
            place += width
        else:
            return


def text(value: int | float | bytes) -> str:
    """Return a field's bytes as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    return value, len(message)
