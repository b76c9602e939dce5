from __future__ import annotations

import pytest
from logs import Row, decay, noisy, report_of, train_rows

from sftdiag.context import RunContext

WHISPER = 51_865


def learned(first: float, last: float, rows: int = 200) -> list[Row]:
    losses = [last + decay(step, 25, first - last, 0.0) for step in range(rows)]
    return train_rows(noisy(losses, 0.02), learning_rate=1e-5)


@pytest.mark.parametrize("vocabulary", [None, WHISPER])
def test_what_began_blind_and_knows_only_how_often_tokens_stand_is_not_healthy(
    vocabulary: int | None,
) -> None:
    report = report_of(learned(10.8, 5.3), RunContext(vocab_size=vocabulary))
    assert (report.verdict, report.findings) == ("inconclusive", ())
    assert "to 5.3, about what is known from how often" in str(report.reason)


def test_random_weights_that_still_fall_are_on_their_way() -> None:
    losses = noisy([4.6 + decay(step, 120, 5.5, 0.0) for step in range(200)], 0.02)
    assert report_of(train_rows(losses, learning_rate=1e-5)).verdict == "healthy"


@pytest.mark.parametrize(
    ("first", "last", "vocabulary"),
    [(10.8, 3.1, WHISPER), (7.0, 5.4, WHISPER), (7.2, 3.4, 1_400)],
    ids=["it reads what stands before", "it knew something", "a vocabulary made on the spot"],
)
def test_others_that_fell_are_healthy(first: float, last: float, vocabulary: int) -> None:
    assert report_of(learned(first, last), RunContext(vocab_size=vocabulary)).verdict == "healthy"
