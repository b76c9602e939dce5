"""Searches with a budget: what fits into it, and what is tried when the four steps leave some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log10
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_search import START, make_trainer

pytest.importorskip("optuna")

import sftdiag
from sftdiag.cli.main import main
from sftdiag.errors import ConfigError
from sftdiag.searches import refine, steps
from sftdiag.searches.budget import Budget, budget_of, cost_of
from sftdiag.searches.outcome import COMPLETE, FAILED, PRUNED, Outcome, Point, Trial
from sftdiag.searches.settings import Facts, key_of, start_for
from sftdiag.searches.steps import EPOCHS, RANK, RATE, REFINE, SEEDS, STEPS

LORA = Facts("lora", 4, 12_000, 8_000_000_000)
NOW = start_for(LORA, {EPOCHS: 1})
Loss = Callable[[Mapping[str, float]], float]


def trial(number: int, step: str, settings: Mapping[str, float], loss: float, **more: Any) -> Trial:
    known = {"steps": 100, "last_step": 100, "seconds": 10.0, "devices": 1, **more}
    curve = (Point(100, settings[EPOCHS], loss),)
    return Trial(number, step, dict(settings), Outcome(COMPLETE, loss, curve, **known))


def played(
    loss_of: Loss, seeds: float | None, start: Mapping[str, float] = NOW
) -> tuple[dict[str, float], dict[str, Trial]]:
    """Return what the four steps choose by a function of the settings, and the trials."""
    done: dict[str, Trial] = {}
    now = dict(start)
    for step in STEPS:
        while asked := steps.wanted(step, now, LORA, done):
            done[key_of(asked[0])] = trial(len(done) + 1, step, asked[0], loss_of(asked[0]))
        now = steps.choose(step, now, LORA, done, seeds).chosen
    return now, done


def refined(now: dict[str, float], done: dict[str, Trial], loss_of: Loss, seeds: float) -> int:
    """Train what the refinement wants until it is over; return how many trials that took."""
    for count in range(200):
        asked = refine.wanted(now, LORA, done, seeds)
        if not asked:
            return count
        done[key_of(asked[0])] = trial(len(done) + 1, REFINE, asked[0], loss_of(asked[0]))
    raise AssertionError("asks for ever")


def ridge(place: float, slope: float) -> Loss:
    """Return a bowl whose best rate falls with the rank and with small batches."""

    def loss_of(given: Mapping[str, float]) -> float:
        batch = given["gradient_accumulation_steps"] * 4
        root = (given[RANK] / 32) ** 0.5 / (batch / 32) ** 0.5
        off = log10(given[RATE] * root) - place
        return 1 + off**2 - slope * log10(given[RANK] / batch) + 0.01 * (given[EPOCHS] - 2) ** 2

    return loss_of


@given(st.floats(-4.3, -2.7), st.floats(0.0, 0.3))
@settings(max_examples=40, deadline=None)
def test_what_is_refined_is_no_worse_than_the_four_steps_and_the_best_of_its_neighbours(
    place: float, slope: float
) -> None:
    loss_of, noise = ridge(place, slope), 1e-9
    now, done = played(loss_of, noise)
    refined(now, done, loss_of, noise)
    kept = refine.choose(now, done, noise)
    assert kept.loss == pytest.approx(loss_of(kept.chosen))
    assert loss_of(kept.chosen) <= loss_of(now) + noise
    assert kept.loss == pytest.approx(min(t.outcome.loss for t in done.values()), abs=2 * noise)
    for name, values in (
        (EPOCHS, (1, 2, 3)),
        (RANK, (16, 32, 64)),
        ("gradient_accumulation_steps", (4, 8, 16)),
    ):
        at = values.index(int(kept.chosen[name]))
        for near in values[max(0, at - 1) : at + 2]:
            # The next rank or batch, at any rate that was tried of it, is no better.
            beside = [
                t.outcome.loss
                for t in done.values()
                if t.settings[name] == near
                and all(t.settings[n] == kept.chosen[n] for n in (EPOCHS, RANK) if n != name)
            ]
            assert beside
            assert min(beside) >= kept.loss - noise
    # Asked again with all that is done, the steps before it want nothing and choose the same.
    start = NOW
    for step in STEPS:
        assert steps.wanted(step, start, LORA, done) == []
        start = steps.choose(step, start, LORA, done, noise).chosen
    assert start == now


def test_fewer_epochs_are_refined_with_a_rate_of_their_own() -> None:
    """At the same rate one epoch fewer is worse, at the next higher one it is better; so again."""
    start = {**NOW, EPOCHS: 3}

    def loss_of(given: Mapping[str, float]) -> float:
        off = log10(given[RATE] / start[RATE]) - 0.25 * (3 - given[EPOCHS])
        return 1 + off**2 + 0.02 * given[EPOCHS]

    now, done = played(loss_of, 1e-9, start)
    assert (now[EPOCHS], now[RATE]) == (3, start[RATE])
    refined(now, done, loss_of, 1e-9)
    kept = refine.choose(now, done, 1e-9)
    assert kept.chosen[EPOCHS] == 1
    assert kept.chosen[RATE] == pytest.approx(start[RATE] * 10**0.5, rel=0.05)


def test_of_settings_alike_within_the_noise_two_seeds_decide() -> None:
    """The lowest loss was lucky: with a second seed another one is better."""
    other = {**NOW, RATE: 2 * NOW[RATE]}
    first = trial(1, RATE, NOW, 1.000)
    done = {key_of(NOW): first, key_of(other): trial(2, RATE, other, 1.001)}
    assert refine.choose(NOW, done, 0.005).chosen == NOW
    for settings_, loss in ((NOW, 1.020), (other, 1.002)):
        twin = steps.other_seed(settings_)
        done[key_of(twin)] = trial(9, SEEDS, twin, loss)
    kept = refine.choose(NOW, done, 0.005)
    assert kept.chosen == other
    assert (kept.why, kept.trial) == ("by_two_seeds", 2)
    assert kept.loss == pytest.approx(1.0015)
    assert kept.gain == pytest.approx(1.010 - 1.0015)


def test_a_lone_best_gets_no_second_seed_and_the_rest_of_the_budget_is_kept() -> None:
    loss_of = ridge(-3.5, 0.2)
    now, done = played(loss_of, 1e-9)
    assert refined(now, done, loss_of, 1e-9) > 0
    assert all(t.settings["seed"] == NOW["seed"] for t in done.values())


def test_inside_the_noise_the_refinement_keeps_the_cheaper() -> None:
    dear = {**NOW, EPOCHS: 3}
    done = {key_of(NOW): trial(1, RATE, NOW, 1.003), key_of(dear): trial(2, EPOCHS, dear, 1.0)}
    kept = refine.choose(dear, done, 0.01)
    assert (kept.chosen[EPOCHS], kept.cheaper, kept.best) == (1, True, 2)
    beyond = refine.choose(dear, done, 0.001)
    assert (beyond.chosen[EPOCHS], beyond.cheaper) == (3, False)


def test_a_budget_is_a_time() -> None:
    assert budget_of("90m").seconds == 5400
    assert budget_of("2d").seconds == 2 * 86400
    assert budget_of(7).seconds == 7
    assert not budget_of(None).ends
    for wrong in ("soon", "-3h", "0", 0, -1.0, True, "3w", "nan"):
        with pytest.raises(ConfigError, match="budget is a time above 0"):
            budget_of(wrong)


def test_what_fits_is_told_by_what_epochs_took() -> None:
    # 10 s of two GPUs for half of a run of two epochs: 20 an epoch.
    half = trial(1, RATE, {**NOW, EPOCHS: 2}, 1.0, last_step=50, devices=2)
    assert cost_of(half.outcome) == 20
    budget = Budget(100.0)
    assert budget.left([half]) == 80
    assert budget.fits({EPOCHS: 4}, [half])
    assert not budget.fits({EPOCHS: 4.1}, [half])
    assert not budget.fits({EPOCHS: 3}, [half], [{EPOCHS: 2}])
    assert budget.trials(2, [half]) == 2
    # The first trial begins whatever it takes, and one that failed at once says nothing of epochs.
    failed = Trial(1, RATE, NOW, Outcome(FAILED, seconds=3.0))
    assert budget.fits({EPOCHS: 1000}, [failed])
    assert not Budget(2.0).fits({EPOCHS: 1}, [failed])
    assert Budget().fits({EPOCHS: 1e9}, [half])


def test_a_budget_ends_the_steps_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    given_: dict[str, Any] = {"folder": tmp_path, "steps": ("effective_batch",)}
    short = sftdiag.search(make_trainer, START, budget=0.001, **given_)
    assert len(short.trials) == 1
    assert [made.why for made in short.choices] == ["budget_spent"]
    assert short.changes == {}
    assert "the budget was spent" in str(short)
    again = sftdiag.search(make_trainer, START, budget="1h", **given_)
    assert short.trials[0] in again.trials
    steps_of = [t.step for t in again.trials]
    assert steps_of.count("effective_batch") == 3
    assert REFINE in steps_of
    assert again.budget == 3600
    made = again.choices[-1]
    assert made.step == REFINE
    assert again.settings == made.chosen
    assert made.chosen in [t.settings for t in again.trials if t.number == made.trial]
    # A setting is trained once a seed.
    assert len({key_of(t.settings) for t in again.trials}) == len(again.trials)
    # Over: nothing near is wanted any more, be there a budget or none.
    for budget in ("2h", None):
        over = sftdiag.search(never, START, budget=budget, **given_)
        assert over.settings == again.settings
        assert over.trials == again.trials
    chinese = str(again.replace(language="zh"))
    assert "细化" in chinese
    assert "预算" in chinese
    assert {t.outcome.state for t in again.trials} <= {COMPLETE, PRUNED}


def never(settings: dict[str, Any]) -> Any:
    raise AssertionError("trained again")


def test_the_command_line_refuses_what_is_no_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text("def make_trainer(settings):\n    raise OSError\n")
    folder = ["--folder", str(tmp_path / "search")]
    assert main(["search", str(script), "--budget", "soon", *folder]) == 2
    assert "budget is a time above 0 such as 90m" in capsys.readouterr().err
    assert main(["search", str(script), "--budget", "soon", "--lang", "zh", *folder]) == 2
    assert "预算是大于 0 的时间" in capsys.readouterr().err
