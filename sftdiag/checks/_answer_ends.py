"""The ends of answers: trained, masked or absent, and whether answers need one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sftdiag.checks.base import LEAST_ROWS, SHORT_ANSWER
from sftdiag.samples import Sample, Tokenization

TRAINED, MASKED, ABSENT = "trained", "masked", "absent"
GIVEN = "given"
"""Masked as well, by labels or a mask that the row brings: no collator's doing."""

OWN_MARK = 0.9
"""Share of the answers that end with one token, which stands nowhere else in the rows, from which
that token is an end mark of their own: sentences differ in theirs, and texts hold several."""


def need_ends(samples: Sequence[Sample], known: Tokenization) -> bool:
    """Return whether answers without an end are texts, and have no mark of their own; of a few no.

    Answers of labels and numbers are no texts.
    """
    spans = ((sample, range(*span)) for sample in samples for span in _answers(sample, known))
    said = [
        [sample.input_ids[place] for place in span if sample.is_supervised(place)]
        for sample, span in spans
    ]
    if len(said) < LEAST_ROWS or sorted(map(len, said))[len(said) // 2] < SHORT_ANSWER:
        return False
    last, count = Counter(answer[-1] for answer in said).most_common(1)[0]
    ends = sum(
        sample.input_ids[end - 1] == last
        for sample in samples
        for _, end in sample.answers or _answers(sample, known)
    )
    elsewhere = sum(sample.input_ids.count(last) for sample in samples) > ends
    return elsewhere or count < OWN_MARK * len(said)


def _answers(sample: Sample, known: Tokenization) -> Iterator[tuple[int, int]]:
    """Yield where the answers stand that are trained."""
    for start, end in sample.answers if sample.answers else ((0, _last_word(sample, known)),):
        if end > start and sample.is_supervised(end - 1):
            yield start, end


def ends_of(sample: Sample, known: Tokenization) -> Iterator[str]:
    """Yield what became of the end of each answer that is trained."""
    for _, end in _answers(sample, known):
        if end == len(sample.input_ids) or sample.input_ids[end] not in known.stops:
            yield ABSENT
        else:
            masked = GIVEN if sample.is_masked_by_row(end) else MASKED
            yield TRAINED if sample.is_supervised(end) else masked


def _last_word(sample: Sample, known: Tokenization) -> int:
    """Return where the text of a row without known answers ends."""
    end = known.without_header(sample.input_ids)
    while end > 1 and sample.input_ids[end - 1] in known.turns.blanks:
        end -= 1
    while end > 1 and sample.input_ids[end - 1] in known.stops:
        end -= 1
    return end
