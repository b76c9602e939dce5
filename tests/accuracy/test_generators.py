from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy import sets
from benchmarks.accuracy.curves import LEAST_MOVE, Array, moved
from benchmarks.accuracy.healthy import TRAPS, healthy
from benchmarks.accuracy.healthy_kinds import KINDS, healthy_of_kind
from benchmarks.accuracy.runs import Run

FIRST_LOSS = 2.3375604
"""Of the run of number 0, as it was first scored."""


def of_kind(kind: str, count: int = 12) -> list[Run]:
    place = list(KINDS).index(kind)
    return [healthy_of_kind(sets.SEED, place + turn * len(KINDS)) for turn in range(count)]


def series(run: Run, name: str) -> list[float]:
    return [row[name] for row in run.rows if name in row]


def test_a_turn_of_the_healthy_runs_has_every_trap_and_every_kind() -> None:
    runs = list(sets.generated_healthy(len(TRAPS) + len(KINDS)))
    assert {run.kind for run in runs} == {*TRAPS, *KINDS}
    assert len({run.name for run in runs}) == len(runs)


def test_the_older_runs_keep_their_numbers() -> None:
    turn = len(TRAPS) + len(KINDS)
    runs = list(sets.generated_healthy(turn + 1))
    assert runs[turn].rows == healthy(sets.SEED, len(TRAPS)).rows
    assert healthy(3, 0).rows[0]["loss"] == pytest.approx(FIRST_LOSS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_follows_from_its_number(kind: str) -> None:
    assert of_kind(kind, 2) == of_kind(kind, 2)


@given(
    st.lists(st.floats(0.01, 10), min_size=3, max_size=60),
    st.floats(0.001, 0.1),
)
def test_a_curve_that_falls_less_than_the_least_is_made_to_fall(
    values: list[float], least: float
) -> None:
    curve = np.sort(np.array(values))[::-1]
    third = len(curve) // 3

    def fall(values: Array) -> float:
        return float(1 - values[-third:].mean() / values[:third].mean())

    if fall(curve) >= least:
        assert (moved(curve, least) == curve).all()
    else:
        # Half of what is missing where the thirds are steep, all of it where they are not.
        missing = least - fall(curve)
        assert fall(curve) + missing / 2 <= fall(moved(curve, least)) <= least + missing


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "at-floor"])
def test_kinds_that_learn_end_below_their_start(kind: str) -> None:
    ratios = []
    for run in of_kind(kind, 40):
        losses = series(run, "loss")
        third = max(1, len(losses) // 3)
        ratios.append(np.mean(losses[-third:]) / np.mean(losses[:third]))
    assert np.median(ratios) < 1 - 2 * LEAST_MOVE


def test_a_run_at_its_floor_shows_that_it_is() -> None:
    for run in of_kind("at-floor"):
        assert max(series(run, "loss")) < 1.2
        assert np.mean(series(run, "mean_token_accuracy")) > 0.75
        ratio = np.array(series(run, "entropy")) / np.array(series(run, "loss"))
        assert (abs(ratio - 1) < 0.15).all()


def test_a_run_from_scratch_begins_at_a_blind_guess_and_falls_to_its_end() -> None:
    known = [run for run in of_kind("from-scratch", 30) if run.context.vocab_size]
    assert known
    for run in known:
        assert run.context.vocab_size is not None
        losses = series(run, "loss")
        # With a row every 50 steps the first is a mean over what was learned in them.
        assert losses[0] < 1.1 * log(run.context.vocab_size)
        assert np.mean(losses[-len(losses) // 3 :]) < np.mean(losses[: len(losses) // 3])


def test_a_padded_start_is_above_chance_and_ends_at_a_usual_level() -> None:
    for run in of_kind("padded-start"):
        losses = series(run, "loss")
        assert losses[0] > 3 * losses[-1]
        assert np.mean(losses[-len(losses) // 3 :]) < 3.0


@pytest.mark.parametrize(("kind", "rows"), [("five-rows", 5), ("ten-rows", 10)])
def test_short_logs_have_as_many_rows_as_they_say(kind: str, rows: int) -> None:
    assert all(len(series(run, "loss")) == rows for run in of_kind(kind))


@pytest.mark.parametrize("every", [10, 50])
def test_a_row_stands_for_the_steps_since_the_last(every: int) -> None:
    for run in of_kind(f"logged-every-{every}"):
        steps = [row["step"] for row in run.rows if "loss" in row]
        assert set(np.diff(steps)) == {every}
