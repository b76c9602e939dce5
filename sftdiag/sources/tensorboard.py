"""TensorBoard's event files, parsed by the package tensorboard (TensorFlow is never loaded).

Numbers are float32, plain or as tensors; the closing row stands as ``train/train_loss`` at the last
step. Texts and histograms are passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Any

from sftdiag.columns import Columns
from sftdiag.errors import SourceError
from sftdiag.sources.json_rows import log_of
from sftdiag.sources.log import Log, Row
from sftdiag.sources.opening import Head
from sftdiag.sources.series import Point, rows

VERSION = b"brain.Event:"
"""Stands in a file's first event."""

INSTALL = "looks like TensorBoard's event file; for it: pip install 'sftdiag[tensorboard]'"

LENGTH_BYTES, CHECK_BYTES = 12, 4
"""Before a record its length and that one's checksum, behind it its own."""

LONGEST_RECORD = 256 << 20
"""Bytes; an event with pictures may have some millions."""

_FLOAT, _DOUBLE = 1, 2
"""Types of a tensor's numbers."""


def recognises(head: Head) -> bool:
    """Return whether the file begins as event files do."""
    return VERSION in head.data[:64]


def read(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read one file."""
    return read_files([head.path], columns, spacing)


def read_files(paths: list[str], columns: Columns, spacing: int | None = None) -> Log:
    """Read the files of one run, in the order of their writing.

    Raises:
        SourceError: the package tensorboard is not installed.
    """
    event_type = _event_type(paths[0])

    def raw() -> Iterator[Row]:
        return rows(point for path in paths for point in _points(path, event_type))

    return log_of("tensorboard", raw, columns, spacing)


def _event_type(path: str) -> Any:
    try:
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError:
        raise SourceError(path, INSTALL) from None
    return Event


def _points(path: str, event_type: Any) -> Iterator[Point]:
    with open(path, "rb") as file:
        for record in _records(file):
            try:
                event = event_type.FromString(record)
            except Exception:
                # The parser's own error, whose module depends on protobuf's version.
                continue
            for value in event.summary.value:
                number = _number(value)
                if number is not None:
                    yield Point(value.tag, event.step, number)


def _records(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the records of a file up to where it is damaged or still being written.

    The package checks each byte's checksum in Python, which takes seconds a megabyte.
    """
    while len(start := file.read(LENGTH_BYTES)) == LENGTH_BYTES:
        (length,) = struct.unpack_from("<Q", start)
        if length > LONGEST_RECORD:
            return
        record = file.read(length)
        if len(record) < length or len(file.read(CHECK_BYTES)) < CHECK_BYTES:
            return
        yield record


def _number(value: Any) -> float | None:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor"):
        return None
    tensor = value.tensor
    for numbers in (tensor.float_val, tensor.double_val):
        if len(numbers) == 1:
            return float(numbers[0])
    shape = {_FLOAT: "<f", _DOUBLE: "<d"}.get(tensor.dtype)
    if shape is None or len(tensor.tensor_content) != struct.calcsize(shape):
        return None
    return float(struct.unpack(shape, tensor.tensor_content)[0])
