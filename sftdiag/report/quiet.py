"""What was looked at before step 1, in four lines, where nothing was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sftdiag import texts
from sftdiag.findings import Report, RowsSeen
from sftdiag.report.one_line import by_reason

Parts = tuple[tuple[str, str], ...]


def lines(report: Report, words: Mapping[str, Any]) -> Iterator[Parts]:
    """Yield the lines below the verdict, each as (text, rich style) parts: one a question.

    Which rows were looked at, how much of them is trained, what for, and what could not be judged.
    """
    said = texts.load(__file__, "quiet", report.language)
    colon, comma = words["colon"], words["comma"]
    yield _line(said["rows"], comma.join(_rows(seen, said) for seen in report.rows), colon)
    shares = (
        said["share"].format(split=seen.split, share=seen.trained)
        for seen in report.rows
        if seen.trained is not None
    )
    yield _line(said["trained"], comma.join(shares) or "-", colon)
    topics = said["topics"]
    found = dict.fromkeys(topics.get(name, name) for name in report.ran)
    looked = said["checks"].format(count=len(report.ran), topics=comma.join(found))
    yield _line(said["looked"], looked, colon)
    skipped = (
        said["because"].format(names=comma.join(names), reason=reason)
        for reason, names in by_reason(report.skipped).items()
    )
    yield _line(words["not_judged"], said["semicolon"].join(skipped) or said["nothing"], colon)


def _line(label: str, text: str, colon: str) -> Parts:
    return (label, "bold"), (colon + text, "")


def _rows(seen: RowsSeen, said: Mapping[str, Any]) -> str:
    key = "all" if seen.undetected == 0.0 else "some"
    total = "?" if seen.total is None else f"{seen.total:,}"
    return str(
        said[key].format(rows=seen.rows, total=total, split=seen.split, undetected=seen.undetected)
    )
