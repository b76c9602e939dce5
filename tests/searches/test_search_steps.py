"""What the four steps ask for and choose, from trials with known losses."""

from __future__ import annotations

from math import inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdiag.searches import bracket, steps
from sftdiag.searches.noise import RowLosses, cheapest, margin, row_error
from sftdiag.searches.outcome import COMPLETE, PRUNED, Outcome, Point, Trial
from sftdiag.searches.settings import Facts, key_of, start_for
from sftdiag.searches.steps import EPOCHS, RANK, RATE, choose, wanted

LORA = Facts("lora", 4, 12_000, 8_000_000_000)
BATCH = steps.STEPS[3]
NOW = start_for(LORA, {EPOCHS: 1})


def ended(number: int, settings: dict[str, float], loss: float | None, **more: object) -> Trial:
    state = PRUNED if loss is None else COMPLETE
    known = {"steps": 100, "last_step": 100, "curve": (Point(100, 1.0, loss or 9.0),), **more}
    return Trial(number, RATE, settings, Outcome(state, loss, **known))


def played(
    step: str,
    now: dict[str, float],
    loss_of: object,
    facts: Facts = LORA,
    known: dict[str, Trial] | None = None,
) -> dict:
    """Train what a step wants, by a function of the settings, until it can choose."""
    done: dict[str, Trial] = dict(known or {})
    for _ in range(50):
        asked = wanted(step, now, facts, done)
        if not asked:
            return done
        found = loss_of(asked[0])
        outcome = {"curve": found[1]} if isinstance(found, tuple) else {}
        loss = found[0] if isinstance(found, tuple) else found
        done[key_of(asked[0])] = ended(len(done) + 1, asked[0], loss, **outcome)
    raise AssertionError("asks for ever")


def rates(done: dict) -> list[float]:
    return [trial.settings[RATE] for trial in done.values()]


def test_the_first_rates_are_the_guides_and_what_evidence_says() -> None:
    first = [s[RATE] for s in wanted(RATE, NOW, LORA, {})]
    assert first[0] == NOW[RATE] == 2.5e-4
    assert set(first) == {2.5e-4, 1e-5, 2e-5, 5e-5}
    full = Facts("full", 4, 12_000, 8_000_000_000)
    assert {s[RATE] for s in wanted(RATE, start_for(full, None), full, {})} == {1e-5, 2e-5, 5e-5}
    qlora = Facts("qlora", 4, 12_000, 8_000_000_000)
    assert {s[RATE] for s in wanted(RATE, start_for(qlora, None), qlora, {})} == {1e-4, 2e-4, 3e-4}


@given(st.floats(-5.5, -1.5))
@settings(max_examples=60)
def test_the_best_rate_is_bracketed(place: float) -> None:
    """A bowl in log rate: what is chosen lies within a neighbour's distance of its bottom."""
    done = played(RATE, NOW, lambda s: 1 + (log(s[RATE]) / log(10) - place) ** 2)
    kept = choose(RATE, NOW, LORA, done, None)
    assert abs(log(kept.chosen[RATE]) / log(10) - place) < log(bracket.WIDER) / log(10) / 2 + 0.02
    assert len(done) <= bracket.MOST_RATES + 1
    assert kept.loss == min(trial.outcome.loss for trial in done.values())


def test_the_search_begins_with_what_is_given_else_with_the_guides() -> None:
    assert start_for(LORA, None)[EPOCHS] == 2
    assert start_for(LORA.replace(samples=800), None)[EPOCHS] == 3
    assert start_for(LORA.replace(samples=90_000), None)[EPOCHS] == 1
    assert start_for(LORA.replace(samples=None), None)[EPOCHS] == 1
    assert start_for(LORA, {EPOCHS: 5, RATE: 1e-3})[EPOCHS] == 5
    assert start_for(LORA, None)["gradient_accumulation_steps"] == 8
    assert start_for(LORA, {"r": 8})["lora_alpha"] == 16


def test_rates_that_break_are_gone_below_and_flat_ones_above() -> None:
    def breaks(settings: dict[str, float]) -> float | None:
        return None if settings[RATE] > 3e-6 else 1.0

    broke = {"cause": "SFT106", "cause_name": "non-finite"}
    flat = {"cause": "SFT101", "cause_name": "train-loss-flat"}
    first = wanted(RATE, NOW, LORA, {})
    for cause, expected in ((broke, 3.2e-6), (flat, 7.9e-4)):
        done = {key_of(s): ended(i, s, None, **cause) for i, s in enumerate(first, 1)}
        assert [s[RATE] for s in wanted(RATE, NOW, LORA, done)] == [pytest.approx(expected)]
    assert choose(RATE, NOW, LORA, done, None).why == "no_trial"


def test_the_epochs_are_those_at_which_the_loss_turned_retrained() -> None:
    turning = tuple(Point(10 * i, i / 4, 1 + abs(i / 4 - 2)) for i in range(1, 13))

    def loss_of(settings: dict[str, float]) -> tuple[float, tuple[Point, ...]]:
        return {1: 1.5, 2: 0.9, 3: 2.0}[settings[EPOCHS]], turning

    done = played(EPOCHS, NOW, loss_of)
    assert [trial.settings[EPOCHS] for trial in done.values()] == [1, 3, 2]
    kept = choose(EPOCHS, NOW, LORA, done, 0.01)
    assert (kept.chosen[EPOCHS], kept.why, kept.cheaper) == (2, "turned_up", False)
    assert kept.gain == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("losses", "tried", "epochs", "why"),
    [
        ({3: 1.000, 2: 1.100, 1: 1.2}, [3, 2], 3, "still_falling"),
        ({3: 1.000, 2: 1.004, 1: 0.9}, [3, 2], 2, "fewer_epochs"),
        ({3: 1.000, 2: 0.950, 1: 0.9}, [3, 2, 1], 1, "fewer_epochs"),
    ],
)
def test_fewer_epochs_are_tried_though_the_long_run_fell_to_its_end(
    losses: dict[int, float], tried: list[int], epochs: int, why: str
) -> None:
    """A decaying rate makes each run fall at its end: its curve does not say what fewer do."""
    now = {**NOW, EPOCHS: 3}

    def loss_of(settings: dict[str, float]) -> tuple[float, tuple[Point, ...]]:
        last, many = losses[settings[EPOCHS]], settings[EPOCHS]
        curve = (Point(1, many / 2, last + 0.3), Point(2, many, last))
        return last, curve

    done = played(EPOCHS, now, loss_of)
    assert [trial.settings[EPOCHS] for trial in done.values()] == tried
    kept = choose(EPOCHS, now, LORA, done, 0.005)
    assert (kept.chosen[EPOCHS], kept.why) == (epochs, why)


def test_a_long_run_that_was_stopped_where_it_rose_still_says_where() -> None:
    rising = tuple(Point(10 * i, i / 4, 1 + abs(i / 4 - 1)) for i in range(1, 8))
    done = {
        key_of(NOW): ended(1, NOW, 1.0),
        key_of({**NOW, EPOCHS: 3}): ended(2, {**NOW, EPOCHS: 3}, None, curve=rising),
    }
    assert wanted(EPOCHS, NOW, LORA, done) == []
    assert choose(EPOCHS, NOW, LORA, done, None).chosen[EPOCHS] == 1


def test_inside_the_noise_the_smaller_rank_is_kept_and_beyond_it_the_better() -> None:
    losses = {16: 1.010, 32: 1.004, 64: 1.000}
    done = played(RANK, NOW, lambda s: losses[s[RANK]])
    inside = choose(RANK, NOW, LORA, done, 0.02)
    assert (inside.chosen[RANK], inside.chosen["lora_alpha"], inside.cheaper) == (16, 32, True)
    beyond = choose(RANK, NOW, LORA, done, 0.001)
    assert (beyond.chosen[RANK], beyond.chosen["lora_alpha"], beyond.cheaper) == (64, 128, False)
    between = choose(RANK, NOW, LORA, done, 0.005)
    assert between.chosen[RANK] == 32


def test_batches_cost_the_same_so_the_lowest_loss_is_kept() -> None:
    losses = {16: 0.99, 32: 1.0, 64: 1.2}
    done = played(BATCH, NOW, lambda s: losses[s["gradient_accumulation_steps"] * 4])
    # No other rate is known: none is tried.
    assert len(done) == 3
    changed = choose(BATCH, NOW, LORA, done, 0.02)
    assert changed.chosen == {**NOW, "gradient_accumulation_steps": 4}
    assert not changed.cheaper


@given(st.floats(-4.2, -2.8))
@settings(max_examples=40)
def test_a_batch_is_tried_with_a_rate_of_its_own(place: float) -> None:
    """The best rate goes with the root of the batch, and small batches are better."""

    def loss_of(settings: dict[str, float]) -> float:
        batch = settings["gradient_accumulation_steps"] * 4
        off = log(settings[RATE] / (batch / 32) ** 0.5) / log(10) - place
        return 1 + 0.5 * off**2 + batch / 1000

    done = played(RATE, NOW, loss_of)
    now = choose(RATE, NOW, LORA, done, None).chosen
    done |= played(BATCH, now, loss_of, known=done)
    kept = choose(BATCH, now, LORA, done, None)
    tried = {trial.settings[RATE] for trial in done.values()}
    lowest = min(loss_of({**now, RATE: r, "gradient_accumulation_steps": 4}) for r in tried)
    assert kept.chosen["gradient_accumulation_steps"] == 4
    assert kept.loss <= lowest + 0.005
    assert wanted(BATCH, now, LORA, done) == []
    assert steps.most(BATCH, now, LORA) >= 2


def test_batches_that_accumulation_cannot_make_are_left_out() -> None:
    many = Facts("lora", 24, None, 10**9)
    now = start_for(many, None)
    assert wanted(BATCH, now, many, {}) == [now]


def test_full_fine_tuning_has_no_rank() -> None:
    full = Facts("full", 4, None, 10**9)
    assert wanted(RANK, NOW, full, {}) == []
    assert choose(RANK, NOW, full, {}, None).why == "no_rank"


@given(
    st.lists(st.floats(0.1, 5), min_size=4, max_size=60),
    st.floats(-0.5, 0.5),
    st.integers(1, 9),
)
def test_the_rows_noise_is_none_for_a_shift_and_grows_with_scatter(
    losses: list[float], shift: float, tokens: int
) -> None:
    one = RowLosses(tuple(losses), (tokens,) * len(losses), len(losses))
    moved = one.replace(losses=tuple(loss + shift for loss in losses))
    assert row_error(one, moved) == pytest.approx(0.0, abs=1e-9)
    scattered = one.replace(losses=tuple(x + (-1) ** i for i, x in enumerate(losses)))
    expected = 1 / len(losses) ** 0.5
    assert row_error(one, scattered) == pytest.approx(expected, rel=0.35)


def test_rows_that_differ_have_no_common_noise() -> None:
    one = RowLosses((1.0, 2.0), (3, 4), 2)
    assert row_error(one, one.replace(tokens=(4, 3))) is None
    assert row_error(one, None) is None
    assert margin(Outcome(COMPLETE, 2.0), Outcome(COMPLETE, 1.0), None) == 0.02


@given(st.lists(st.tuples(st.floats(1, 2), st.integers(1, 5)), min_size=1, max_size=6))
def test_what_is_kept_is_never_dearer_than_the_best_nor_worse_beyond_noise(
    drawn: list[tuple[float, int]],
) -> None:
    trials = [ended(i, {"r": cost, "seed": i}, loss) for i, (loss, cost) in enumerate(drawn, 1)]
    kept, best, _ = cheapest(trials, lambda trial: trial.settings["r"], 0.1)
    assert kept.settings["r"] <= best.settings["r"]
    assert kept.outcome.loss - best.outcome.loss <= 0.1
    assert best.outcome.loss == min(trial.outcome.loss for trial in trials)
    assert best.outcome.loss < inf
