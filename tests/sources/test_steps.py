"""Steps of logs that show none: bars, closing rows, epochs, order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdiag.sources.numbering import numbered
from sftdiag.sources.steps import BARS, CLOSING, COUNTED, Event, Survey, roundest


def log(
    steps: int, spacing: int, per_epoch: float, *, bars: bool, first: bool = False
) -> tuple[list[Event], list[int]]:
    """Return a run's rows without steps, and these steps."""
    events: list[Event] = []
    wanted = []
    at = [step for step in range(1, steps + 1) if step % spacing == 0 or (first and step == 1)]
    for step in at:
        events.append({"loss": 1.0, "epoch": float(f"{step / per_epoch:.4g}")})
        wanted.append(step)
        if bars:
            events.append((step, steps))
    return events, wanted


def numbers(events: list[Event], spacing: int | None = None) -> tuple[list[int], str | None]:
    survey = Survey()
    for event in events:
        survey.add(event)
    plan = survey.plan(spacing)
    return [row["step"] for row in numbered(events, plan)], plan.source


@given(
    st.integers(1, 60),
    st.integers(2, 80),
    st.floats(3.0, 3000.0),
    st.booleans(),
)
def test_bars_give_the_steps(spacing: int, rows: int, per_epoch: float, first: bool) -> None:
    events, wanted = log(spacing * rows, spacing, per_epoch, bars=True, first=first and spacing > 2)
    assert numbers(events) == (wanted, BARS)


@pytest.mark.parametrize(("spacing", "rows"), [(1, 30), (4, 6), (10, 50), (25, 12), (100, 9)])
def test_the_closing_row_gives_the_steps(spacing: int, rows: int) -> None:
    steps = spacing * rows
    events, wanted = log(steps, spacing, steps / 3, bars=False)
    end = {
        "train_runtime": 1234.5,
        "train_steps_per_second": round(steps / 1234.5, 3),
        "epoch": 3.0,
    }
    found, source = numbers([*events, end])
    assert source == CLOSING
    assert found[:-1] == wanted


def test_a_bar_behind_everything_bounds_the_spacing() -> None:
    """Buffered standard output: all bars, then all rows."""
    rows, wanted = log(430, 10, 100.0, bars=False)
    bars: list[Event] = [(done, 430) for done in range(431)]
    assert numbers([*bars, *rows]) == (wanted, BARS)


def test_a_single_bar_between_rows() -> None:
    """A paste: the bar behind the second of four rows."""
    rows, wanted = log(40, 10, 4355.0, bars=False)
    assert numbers([(0, 436), *rows[:2], (20, 436), *rows[2:]]) == (wanted, BARS)


def test_bars_of_evaluations_and_datasets_are_not_the_trainings() -> None:
    events, wanted = log(60, 5, 20.0, bars=True)
    mixed: list[Event] = [(done, 90) for done in range(0, 91, 10)]
    for event in events:
        mixed.append(event)
        if isinstance(event, tuple) and event[0] % 20 == 0:
            mixed += [(done, 12) for done in range(13)]
            mixed.append({"eval_loss": 1.0, "epoch": event[0] / 20})
    found, source = numbers(mixed)
    assert source == BARS
    assert found == sorted([*wanted, 20, 40, 60])


def test_nothing_tells_the_spacing() -> None:
    rows, _ = log(30, 1, 10.0, bars=False)
    assert numbers(rows) == (list(range(10, 301, 10)), COUNTED)
    assert numbers(rows, spacing=1)[0] == list(range(1, 31))


def test_rows_with_steps_are_left_alone() -> None:
    rows: list[Event] = [{"loss": 1.0, "step": n} for n in (3, 7, 8)]
    assert numbers(rows) == ([3, 7, 8], None)


def test_a_run_that_begins_again_goes_back() -> None:
    once, wanted = log(100, 10, 50.0, bars=True)
    found, _ = numbers([*once[:12], *once])
    assert found == [*wanted[:6], *wanted]


def test_a_resume_goes_on_from_its_step() -> None:
    events, wanted = log(100, 10, 50.0, bars=True)
    assert numbers(events[10:])[0] == wanted[5:]


def test_an_evaluation_between_rows_and_one_without_an_epoch() -> None:
    events: list[Event] = [
        {"loss": 1.0, "epoch": 0.5},
        (10, 40),
        {"eval_loss": 1.0, "epoch": 0.75},
        {"loss": 1.0, "epoch": 1.0},
        (20, 40),
        {"eval_loss": 1.0},
    ]
    assert numbers(events)[0] == [10, 15, 20, 20]


def test_epochs_that_are_no_numbers() -> None:
    rows: list[Any] = [{"loss": 1.0, "epoch": epoch} for epoch in ("nan", "inf", -1.0, 1e30, "x")]
    assert len(numbers(rows)[0]) == 5


@given(st.integers(1, 5000), st.integers(0, 5000))
def test_the_roundest_number_is_that_of_all(least: int, more: int) -> None:
    def zeros(number: int) -> tuple[int, int]:
        digits = str(number).rstrip("0")
        return len(str(number)) - len(digits) + (digits in ("1", "2", "5", "25")), -number

    assert roundest(least, least + more) == max(range(least, least + more + 1), key=zeros)
