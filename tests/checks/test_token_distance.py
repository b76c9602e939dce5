"""How far rows are from other rows: what a template writes around them does not count."""

from __future__ import annotations

import random
from itertools import accumulate, chain

from hypothesis import given, settings
from hypothesis import strategies as st
from row_sets import Rows, split

from sftdiag.checks import Inputs
from sftdiag.checks._token_distance import distance, own_tokens, within
from sftdiag.checks.eval_distribution_shift import EvalDistributionShiftCheck
from sftdiag.checks.rows_in_blocks import RowsInBlocksCheck
from sftdiag.context import RunContext
from sftdiag.observations import Skip
from sftdiag.samples import Sample, Split

SYSTEM = tuple(range(1, 31))
MARKS = (31, 32, 31, 33)


def kind(number: int, count: int, *, seed: int = 0, own: float = 0.5) -> Rows:
    """Return short rows of a kind, half of whose words are its own, without a template."""
    draw = random.Random(f"{number} {seed}")

    def word() -> int:
        rank = min(300, int(draw.paretovariate(0.9)))
        return 1000 * (number + 1) + rank if draw.random() < own else 100 + rank

    return [tuple(word() for _ in range(draw.randint(8, 20))) for _ in range(count)]


def templated(rows: Rows) -> Rows:
    return [(*SYSTEM, *row, *MARKS) for row in rows]


def variants(check: EvalDistributionShiftCheck | RowsInBlocksCheck, inputs: Inputs) -> list[str]:
    found = check.look(inputs)
    assert not isinstance(found, Skip)
    return [one.variant for one in found]


def of_evaluation(train: Rows, evaluation: Rows) -> list[str]:
    inputs = Inputs(train=split(train, "train"), evaluations=(split(evaluation, "eval"),))
    return variants(EvalDistributionShiftCheck(), inputs)


A, B = kind(0, 400), kind(1, 400)
OTHER_A = kind(0, 100, seed=1)


def test_a_template_longer_than_the_rows_hides_no_other_evaluation_set() -> None:
    assert of_evaluation(A, kind(1, 100)) == ["default"]
    assert of_evaluation(templated(A), templated(kind(1, 100))) == ["default"]
    assert of_evaluation(templated(A), templated(OTHER_A)) == []


def test_a_template_longer_than_the_rows_hides_no_blocks() -> None:
    inputs = Inputs(
        RunContext(sampler="sequential"),
        split(templated(A + B), "train"),
        (split(templated(OTHER_A), "eval"),),
    )
    assert variants(RowsInBlocksCheck(), inputs) == ["evaluated"]
    mixed = random.Random(0).sample(templated(A + B), 800)
    assert variants(RowsInBlocksCheck(), inputs.replace(train=split(mixed, "train"))) == []


def test_an_evaluation_in_another_template_is_another_one() -> None:
    assert of_evaluation(templated(A), OTHER_A) == ["default"]


def test_rows_without_the_template_are_few_and_change_nothing() -> None:
    train = templated(A)
    train[::50] = A[::50]
    assert of_evaluation(train, templated(kind(1, 100))) == ["default"]


def test_few_rows_that_repeat_are_as_far_from_others_as_they_are_from_each_other() -> None:
    train = random.Random(0).sample(A[:50] * 20, 1000)
    assert of_evaluation(templated(train), templated(OTHER_A)) == []


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-9, -1), max_size=40),
    st.lists(st.integers(-9, -1), max_size=10),
    st.integers(0, 5),
)
def test_what_stands_around_every_row_changes_no_distance(
    before: list[int], after: list[int], seed: int
) -> None:
    sets = [kind(0, 60, seed=seed), kind(1, 60, seed=seed)]
    around = [[(*before, *row, *after) for row in rows] for rows in sets]

    def seen(some: list[Rows]) -> tuple[float, float]:
        one, other = own_tokens(*([Sample(row, row) for row in rows] for rows in some))
        return distance(one, other), within(one, 20)

    assert seen(around) == seen(sets)


def test_packed_rows_are_not_far_from_the_same_rows_unpacked() -> None:
    """Each of them holds the template nine times."""
    head, end = [-1, -2, -3, -4, -5, -6, -7, -8], [-9, -2]
    one = [(*head, *row, *end) for row in kind(0, 540, seed=1)]
    alone = [(*head, *row, *end) for row in kind(0, 60, seed=2)]
    other = [(*head, *row, *end) for row in kind(1, 60, seed=2)]
    packed = []
    for first in range(0, 540, 9):
        rows = one[first : first + 9]
        ids = tuple(chain.from_iterable(rows))
        starts = tuple(accumulate(map(len, rows[:-1]), initial=0))
        packed.append(Sample(ids, ids, starts=starts))
    for evaluation, said in ((alone, []), (other, ["default"])):
        inputs = Inputs(
            context=RunContext(packing=True),
            train=Split("train", tuple(packed), 60),
            evaluations=(split(evaluation, "eval"),),
        )
        assert variants(EvalDistributionShiftCheck(), inputs) == said


def test_a_system_turn_that_one_set_alone_has_is_a_note() -> None:
    spoken = [(*SYSTEM, *range(-40, -10), *row) for row in A]
    for other, said in ((OTHER_A, [("info", "system")]), (B, [("warning", "default")])):
        evaluation = [(*SYSTEM, *row) for row in other]
        train = split(spoken, "train")
        rows = tuple(sample.replace(roles=("system", "user")) for sample in train.samples)
        inputs = Inputs(train=train.replace(samples=rows), evaluations=(split(evaluation, "eval"),))
        found = EvalDistributionShiftCheck().look(inputs)
        assert not isinstance(found, Skip)
        assert [(one.severity.label, one.variant) for one in found] == said
