"""Rows of a data file: JSON lines, a JSON array, Parquet, a saved dataset, or a folder of them.

Read in batches, so that a file of any size takes the memory of one batch. The format is told by the
content. Nothing here needs the library ``datasets``; Parquet and saved datasets need pyarrow, which
comes with it.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

from sftdiag.errors import SourceError

BATCH = 1000
"""Rows read at a time."""

STATE, SPLITS = "state.json", "dataset_dict.json"
"""What ``datasets`` writes into the folder of a saved dataset, and of one with several splits."""

SUFFIXES = (".jsonl", ".json", ".ndjson", ".parquet", ".gz")
"""Files that are read from a folder which is no saved dataset."""

_PARQUET, _GZIP = b"PAR1", b"\x1f\x8b"

Row = Mapping[str, Any]


class Rows:
    """The rows of a path; iterate over :meth:`batches` as often as wanted.

    Args:
        path: a file or folder.
        split: which part of a saved dataset that has several.

    Attributes:
        done: the share read so far, 0 to 1.

    Raises:
        SourceError: there is nothing to read at the path, or no such split.
    """

    def __init__(self, path: str | os.PathLike[str], split: str = "train") -> None:
        self.path = os.fspath(path)
        self.files = _files(self.path, split)
        self.done = 0.0

    def batches(self, size: int = BATCH) -> Iterator[list[Row]]:
        """Yield the rows in lists of at most ``size``.

        Raises:
            SourceError: a file cannot be read, or holds something else than rows; says where.
        """
        sizes = [max(1, os.path.getsize(file)) for file in self.files]
        before, total = 0, sum(sizes)
        for file, length in zip(self.files, sizes, strict=True):
            for share, rows in _batches(file, size):
                self.done = (before + share * length) / total
                if rows:
                    yield rows
            before += length
        self.done = 1.0

    def __iter__(self) -> Iterator[Row]:
        for rows in self.batches():
            yield from rows


def _files(path: str, split: str) -> list[str]:
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        told = "no such file or folder; expected JSON lines, Parquet or a dataset"
        raise SourceError(path, told).keyed("no_path")
    if os.path.isfile(os.path.join(path, SPLITS)):
        splits = _read_json(os.path.join(path, SPLITS)).get("splits", [])
        if split not in splits:
            known = ", ".join(splits)
            told = f"has no split {split!r}; expected one of {known}"
            raise SourceError(path, told).keyed("no_split", split=split, known=known)
        return _files(os.path.join(path, split), split)
    if os.path.isfile(os.path.join(path, STATE)):
        listed = _read_json(os.path.join(path, STATE)).get("_data_files", [])
        return [os.path.join(path, entry["filename"]) for entry in listed]
    found = sorted(name for name in os.listdir(path) if name.endswith(SUFFIXES))
    if not found:
        told = "holds no saved dataset and no JSON lines or Parquet files"
        raise SourceError(path, told).keyed("no_data_files")
    return [os.path.join(path, name) for name in found]


def _read_json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise SourceError(path, f"cannot be read: {error}").keyed("unread", why=error) from None
    return content


def _batches(path: str, size: int) -> Iterator[tuple[float, list[Row]]]:
    """Yield the share of the file read so far with the next rows."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        if start == _PARQUET:
            yield from _parquet(path, size)
        elif path.endswith(".arrow"):
            yield from _arrow(path, size)
        else:
            with open(path, "rb") as raw:
                packed = start[:2] == _GZIP
                text = gzip.GzipFile(fileobj=raw) if packed else raw
                yield from _json(path, text, raw, size)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(path, f"cannot be read: {reason}").keyed("unread", why=reason) from None


def _json(
    path: str, text: IO[bytes] | gzip.GzipFile, raw: IO[bytes], size: int
) -> Iterator[tuple[float, list[Row]]]:
    length = max(1, os.path.getsize(path))
    rows: list[Row] = []
    for number, line in enumerate(text, start=1):
        if number == 1 and line.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            yield from _array(path, line + text.read(), size)
            return
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            told = f"line {number}: expected a JSON object"
            raise SourceError(path, told).keyed("no_object", place=number)
        rows.append(row)
        if len(rows) >= size:
            yield raw.tell() / length, rows
            rows = []
    yield 1.0, rows


def _array(path: str, content: bytes, size: int) -> Iterator[tuple[float, list[Row]]]:
    try:
        rows = json.loads(content)
    except ValueError as error:
        raise SourceError(path, f"expected JSON: {error}").keyed("no_json", why=error) from None
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            told = f"entry {place}: expected a JSON object"
            raise SourceError(path, told).keyed("no_object", place=place)
    for place in range(0, len(rows), size):
        yield min(1.0, (place + size) / len(rows)), rows[place : place + size]


def _parquet(path: str, size: int) -> Iterator[tuple[float, list[Row]]]:
    arrow = _pyarrow(path)
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            total, seen = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches(batch_size=size):
                seen += batch.num_rows
                yield seen / total, batch.to_pylist()
    except arrow.ArrowException as error:
        told = f"expected Parquet: {_first_line(error)}"
        raise SourceError(path, told).keyed("no_parquet", why=_first_line(error)) from None


def _arrow(path: str, size: int) -> Iterator[tuple[float, list[Row]]]:
    arrow = _pyarrow(path)
    length = max(1, os.path.getsize(path))
    try:
        with arrow.OSFile(path) as file, arrow.ipc.open_stream(file) as stream:
            for batch in stream:
                for place in range(0, batch.num_rows, size):
                    yield file.tell() / length, batch.slice(place, size).to_pylist()
    except arrow.ArrowException as error:
        told = f"expected an Arrow stream: {_first_line(error)}"
        raise SourceError(path, told).keyed("no_arrow", why=_first_line(error)) from None


def _pyarrow(path: str) -> Any:
    try:
        import pyarrow
    except ImportError:
        told = "needs pyarrow: pip install 'sftdiag[trainer]'"
        raise SourceError(path, told).keyed("needs_pyarrow") from None
    return pyarrow


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
