from __future__ import annotations

from math import inf, nan

import pytest
from logs import feed, fired, train_rows

GOOD = {"loss": 2.0, "grad_norm": 1.0, "entropy": 2.0}


def log(*rows: dict[str, float]) -> list[dict[str, float]]:
    return [{"step": step, **row} for step, row in enumerate(rows, start=1)]


@pytest.mark.parametrize(
    "bad",
    [
        {"loss": nan},
        {"loss": inf, "grad_norm": inf},
        {"loss": "NaN"},
        {"loss": 0.0, "grad_norm": nan},
        {"loss": 0.0, "grad_norm": "nan", "entropy": nan},
        {"loss": 0.0, "entropy": nan},
    ],
)
def test_two_records_without_a_finite_loss(bad: dict[str, float]) -> None:
    rows = log(*[GOOD] * 10, *[bad] * 5)
    assert fired(rows) == [("non-finite", "error", 12)]
    (finding,) = feed(rows)
    assert finding.onset_step == 11
    assert finding.evidence["last_good_step"] == 10


def test_the_record_in_which_it_broke_is_the_onset() -> None:
    """With logging_steps above 1 the first window still averages finite losses."""
    rows = log(*[GOOD] * 5, {"loss": 1.1, "grad_norm": nan}, *[{"loss": 0.0, "grad_norm": nan}] * 3)
    (finding,) = feed(rows)
    assert (finding.onset_step, finding.fired_step) == (6, 8)


def test_from_the_first_record() -> None:
    (finding,) = feed(log(*[{"loss": nan}] * 3))
    assert (finding.onset_step, finding.fired_step) == (1, 2)
    assert finding.evidence["last_good_step"] is None


def test_one_bad_batch_is_no_lost_run() -> None:
    assert fired(log(*[GOOD] * 5, {"loss": nan}, *[GOOD] * 5)) == []


def test_scattered_overflow_is_normal_and_told_once() -> None:
    overflow = {**GOOD, "grad_norm": inf}
    rows = log(overflow, overflow, *[GOOD] * 9, overflow, *[GOOD] * 9)
    assert fired(rows) == [("scattered-overflow", "info", 3)]
    (finding,) = feed(rows)
    assert finding.code == "SFT106"
    assert "Normal with fp16" in finding.why


def test_overflow_that_does_not_end() -> None:
    rows = log(*[GOOD] * 5, *[{**GOOD, "grad_norm": inf}] * 30)
    assert fired(rows) == [("non-finite", "error", 25)]


def test_it_never_resolves() -> None:
    rows = log(*[GOOD] * 5, *[{"loss": nan}] * 3, *[GOOD] * 50)
    assert [f.resolved_step for f in feed(rows)] == [None]


def test_a_missing_grad_norm_is_no_nan() -> None:
    assert fired(train_rows([2.0, 1.5, 1.2] * 10)) == []


def test_every_second_record_lost_is_no_bad_batch() -> None:
    rows = log(*[GOOD, {"loss": nan}] * 30)
    assert fired(rows) == [("non-finite", "error", 20)]
    (finding,) = feed(rows)
    assert "10 records" in finding.message


def test_a_run_that_was_done_again_is_judged_again() -> None:
    rows = log(*[GOOD] * 20, *[{"loss": nan}] * 5)
    rows += [{**GOOD, "step": step} for step in range(15, 60)]
    assert [finding.resolved_step for finding in feed(rows)] == [None, 15]
