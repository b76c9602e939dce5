"""Archives of trackers that were offline: ClearML's and Comet's zip files, or what is in them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

from sftdiag.columns import Columns
from sftdiag.errors import SourceError
from sftdiag.records import as_float
from sftdiag.sources.decoding import or_none
from sftdiag.sources.json_rows import log_of
from sftdiag.sources.log import Log, Note, Row
from sftdiag.sources.opening import CHUNK_BYTES, Head, lines, split
from sftdiag.sources.series import Point, rows

CLEARML, COMET = "metrics.jsonl", "messages.json"
"""What an archive of each holds."""

MOST_BYTES = 1 << 30
"""Bytes that are unpacked: a log of a million rows is smaller, and a zip may claim any size."""

LONGEST_LINE = 64 << 20
"""Characters of a line: ClearML writes all that it held back as one line."""

_SCALAR, _SUMMARY = "training_stats_scalar", "Summary"
"""ClearML's type of a number, and the metric under which it puts those without a step."""

_COUNTERS = frozenset({"curr_step", "curr_epoch", "process duration"})
"""What Comet logs of itself."""


def recognises_clearml(head: Head) -> bool:
    """Return whether it is such an archive, or the file in it."""
    return CLEARML in _members(head) or (
        head.text.startswith("[{") and f'"type": "{_SCALAR}"' in head.text[:2000]
    )


def recognises_comet(head: Head) -> bool:
    """Return whether it is such an archive, or the file in it."""
    return COMET in _members(head) or (
        head.text.startswith("{") and '"metric_msg"' in head.text and '"payload"' in head.text
    )


def read_clearml(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read ClearML's numbers; an exact 0 may have been a NaN, and is no gradient norm then."""

    def raw() -> Iterator[Row]:
        for row in rows(_clearml(_lines(head, CLEARML))):
            if row.get("train/loss") == 0.0 and row.get("train/grad_norm") == 0.0:
                yield {name: value for name, value in row.items() if name != "train/grad_norm"}
            elif row.get("eval/loss") == 0.0:
                yield {**row, "eval/loss": float("nan")}
            else:
                yield row

    return log_of("clearml", raw, columns, spacing, [Note("zero_for_nan")])


def _clearml(text: Iterable[str]) -> Iterator[Point]:
    for line in text:
        batch = or_none(line)
        for item in batch if isinstance(batch, list) else []:
            if not isinstance(item, Mapping) or item.get("metric") == _SUMMARY:
                continue
            step, value = item.get("iter"), as_float(item.get("value"))
            if isinstance(step, int) and value is not None:
                metric, variant = item.get("metric"), item.get("variant")
                name = f"{metric}/{variant}" if variant != metric else str(metric)
                yield Point(name, step, value)


def read_comet(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read Comet's numbers; NaN and infinity stand as texts."""

    def raw() -> Iterator[Row]:
        return rows(_comet(_lines(head, COMET)))

    return log_of("comet", raw, columns, spacing)


def _comet(text: Iterable[str]) -> Iterator[Point]:
    for line in text:
        message = or_none(line)
        payload = message.get("payload") if isinstance(message, Mapping) else None
        metric = payload.get("metric") if isinstance(payload, Mapping) else None
        if not isinstance(metric, Mapping):
            continue
        name, step = metric.get("metricName"), metric.get("step")
        value = as_float(metric.get("metricValue"))
        if isinstance(name, str) and isinstance(step, int) and value is not None:
            if name in _COUNTERS:
                continue
            yield Point(name, step, value)


def _members(head: Head) -> list[str]:
    if not head.data.startswith(b"PK\x03\x04"):
        return []
    import zipfile

    try:
        with zipfile.ZipFile(head.path) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []


def _lines(head: Head, member: str) -> Iterator[str]:
    """Yield the lines of an archive's member, or of the file itself.

    Raises:
        SourceError: the archive is damaged.
    """
    if head.text:
        yield from lines(head.path, head.encoding, LONGEST_LINE)
        return
    import zipfile

    try:
        with zipfile.ZipFile(head.path) as archive, archive.open(member) as file:
            chunks = (file.read(CHUNK_BYTES) for _ in range(MOST_BYTES // CHUNK_BYTES))
            yield from split(iter(lambda: next(chunks, b""), b""), longest=LONGEST_LINE)
    except (OSError, ValueError, RuntimeError, zlib.error, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(head.path, f"looks like a damaged zip archive: {error}") from None
