from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.accuracy.ladders import doubtless, pages, power
from benchmarks.accuracy.ladders.power import LADDERS, Outcome
from benchmarks.accuracy.ladders.rungs import EVERY, MIX, Cell
from benchmarks.accuracy.runs import Run


def made(disease: str, size: float, rows: int, every: int = 1, number: int = 0) -> Run:
    return power.made(Cell(disease, size, rows, every, number))


@pytest.mark.parametrize("disease", LADDERS)
def test_every_rung_is_a_run_of_so_many_rows_whose_label_names_codes(disease: str) -> None:
    ladder = LADDERS[disease]
    for size in ladder.sizes:
        for rows in ladder.rows:
            for every in EVERY:
                run = made(disease, size, rows, every)
                steps = [row["step"] for row in run.rows if "loss" in row]
                assert steps == [every * (index + 1) for index in range(rows)]
                assert run.codes
                assert run.onset in steps
                assert (run.warn == "yes") == (size not in ladder.optional)


def test_a_cell_follows_from_its_coordinates() -> None:
    assert made("flat", 0.0, 20, 10, 3) == made("flat", 0.0, 20, 10, 3)
    assert made("flat", 0.0, 20, 10, 3).rows != made("flat", 0.0, 20, 10, 4).rows


def test_so_many_runs_have_every_noise_and_vocabulary_known_and_unknown_once() -> None:
    cells = [Cell("flat", 0.0, 20, 1, number) for number in range(MIX)]
    mixes = Counter((cell.noise, cell.vocabulary, cell.known) for cell in cells)
    assert len(mixes) == MIX


def test_a_sum_is_as_many_times_the_evaluation_as_there_are_steps() -> None:
    run = made("summed", 8.0, 200)
    evaluation = [row["eval_loss"] for row in run.rows if "eval_loss" in row]
    losses = [row["loss"] for row in run.rows if "loss" in row]
    assert np.mean(losses[-20:]) / evaluation[-1] == pytest.approx(8, rel=0.2)


def test_a_rate_of_zero_is_exactly_zero_after_the_first_row() -> None:
    rates = [row["learning_rate"] for row in made("rate zero", 1.0, 10, 10).rows if "loss" in row]
    assert rates[1:] == [0.0] * 9


def test_the_rows_until_a_disease_is_named_count_the_first_that_shows_it() -> None:
    # SFT106 names a lost loss at the second row, of two that show it.
    cell = Cell("NaN after a jump", 30.0, 20, 1, 0)
    assert power.outcome(cell) == Outcome(2, False)


def test_rates_are_of_all_runs_of_a_group_and_their_delay_of_those_named() -> None:
    said = {
        Cell("flat", 0.0, 10, 1, 0): Outcome(4, False),
        Cell("flat", 0.0, 10, 1, 1): Outcome(None, True),
        Cell("flat", 0.0, 20, 1, 0): Outcome(8, False),
    }
    rates = power.rates(said, lambda cell: cell.rows)
    assert rates == {10: power.Rate(1, 2, 4, 1), 20: power.Rate(1, 1, 8, 0)}
    assert [pages.bar(rates[rows]) for rows in (10, 20)] == ["▅", "█"]


def test_a_limit_is_of_a_rung_that_the_ladders_have() -> None:
    for limit in doubtless.LIMITS:
        ladder = LADDERS[limit.disease]
        assert limit.size in ladder.sizes
        assert set(limit.rows) <= set(ladder.rows)


def test_the_page_has_a_line_for_every_disease() -> None:
    cells = [
        Cell(d, s, n, e, 0)
        for d, ladder in LADDERS.items()
        for s in ladder.sizes
        for n in ladder.rows
        for e in EVERY
    ]
    mixed = [cell._replace(number=number) for cell in cells for number in range(MIX)]
    said = {cell: Outcome(3, False) for cell in mixed}
    held = [doubtless.Held(limit, 1, 5, 6) for limit in doubtless.LIMITS]
    text = "\n".join(pages.lines(said, held, {}))
    assert all(disease in text for disease in LADDERS)
    assert "NO" in text
