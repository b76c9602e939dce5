"""SFT421 empty-answers: rows whose answer holds nothing.

Sees: replies without a token between what opens and what ends a turn, and empty or blank texts of
the assistant in the raw row: an empty column, a parser that lost the text, a template that does not
write what the reply consists of (tool calls). The model then learns to end at once.

Cannot see: replies in rows that no known template wrote, and a reply that says nothing in words.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> rows = tuple(Sample((8, 9, 2), (-100, -100, 2), answers=((2, 2),)) for _ in range(40))
    >>> found = EmptyAnswersCheck().look(Inputs(train=Split("train", rows, 40)))
    >>> [(one.severity.label, one.evidence["rows"]) for one in found]
    [('error', 40)]

References:
    AlpacaDataCleaned: empty outputs are among what it mends in the first Alpaca data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import TOLERATED_ROWS
from sftdiag.samples import Sample, Tokenization

MOST = 0.5
"""Share of empty answers from which the run teaches to end at once rather than to answer."""

CONTENT = ("content", "value")
"""Keys of a message's text, in ChatML and in ShareGPT."""

BESIDE = ("tool_calls", "reasoning_content", "thinking", "function_call")
"""Keys of a reply that has something to say without a text."""


class EmptyAnswersCheck(Check):
    """Counts the rows with a reply that has no token or no text."""

    code: ClassVar[str] = "SFT421"
    name: ClassVar[str] = "empty-answers"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("poor-data",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        if not any(_shows_replies(sample) for split in inputs.splits for sample in split.samples):
            return Skip("no_replies")
        found = []
        for split in inputs.splits:
            empty = [
                i
                for i, sample in enumerate(split.samples)
                if _is_empty(sample, inputs.tokenization)
            ]
            if not empty:
                continue
            share = len(empty) / len(split.samples)
            few = Severity.WARNING if share >= TOLERATED_ROWS else Severity.INFO
            found.append(
                self.observation(
                    Severity.ERROR if share > MOST else few,
                    series=split.name,
                    evidence=share_of_rows(len(empty), split),
                    fixes=(FixText("column"), FixText("filter"), FixText("template")),
                    example=empty[0],
                )
            )
        return found


def _shows_replies(sample: Sample) -> bool:
    return sample.answers is not None or any(True for _ in _texts(sample.row))


def _is_empty(sample: Sample, known: Tokenization | None) -> bool:
    if any(not said.strip() for said in _texts(sample.row)):
        return True
    # A reply that begins where the row ends was cut off, which is another fault, and the mark of
    # another reply may always be written there.
    ids = sample.input_ids
    ends = len(ids) if known is None else known.without_header(ids)
    empty = any(start == end < ends for start, end in sample.answers or ())
    # Where a prompt was rendered into a message, its request for a reply is no reply: SFT410.
    return empty and not (known is not None and known.is_written_twice(ids))


def _texts(row: Mapping[str, Any] | None) -> Iterable[str]:
    """Yield the texts of a raw row's replies, but of those that consist of something else, too."""
    for name, value in (row or {}).items():
        if name == "completion" and isinstance(value, str):
            yield value
        for message in value if isinstance(value, (list, tuple)) else ():
            if not isinstance(message, Mapping):
                break
            role = message.get("role", message.get("from"))
            if role in ("assistant", "gpt", "model") and not any(map(message.get, BESIDE)):
                said = next((message[key] for key in CONTENT if key in message), None)
                if said is None or isinstance(said, str):
                    yield said or ""
