"""SFT420: which orders of the rows are told, as what, and which are left alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_sets import Rows, split

from sftdiag.checks import Inputs, run_checks
from sftdiag.checks.rows_in_blocks import RowsInBlocksCheck
from sftdiag.context import RunContext
from sftdiag.guide import preflight
from sftdiag.observations import Observation, Skip
from sftdiag.samples import Split

IN_ORDER = RunContext(sampler="sequential")
TEMPLATE = (1, 2, 3, 4)


def kind(number: int, count: int, *, seed: int = 0, common: float = 0.3) -> Rows:
    """Return rows of a kind: a template, words of every kind, and words of its own."""
    draw = random.Random(f"{number} {seed}")

    def word() -> int:
        # As frequent as words are: the n-th takes a share of about 1 / n.
        rank = min(999, int(draw.paretovariate(0.8)))
        return 10 + rank if draw.random() < common else 1000 * (number + 1) + rank

    return [(*TEMPLATE, *(word() for _ in range(draw.randint(8, 40)))) for _ in range(count)]


def seen(
    train: Sequence[tuple[int, ...]],
    *evaluations: Sequence[tuple[int, ...]],
    context: RunContext = IN_ORDER,
) -> Observation | None:
    named = tuple(split(rows, f"eval{i}") for i, rows in enumerate(evaluations))
    found = RowsInBlocksCheck().look(Inputs(context, split(train), named))
    assert not isinstance(found, Skip)
    return found[0] if found else None


def shuffled(rows: Rows, seed: int = 0) -> Rows:
    return random.Random(seed).sample(rows, len(rows))


A, B, C = (kind(number, 600) for number in range(3))
HELD = {name: kind(number, 200, seed=1) for number, name in enumerate("ABC")}


def test_two_blocks_of_which_the_first_is_evaluated_are_an_error() -> None:
    found = seen(A + B, HELD["A"])
    assert found is not None
    assert (found.severity.label, found.variant, found.cause) == (
        "error",
        "evaluated",
        "data-order",
    )
    assert (found.evidence["share"], found.evidence["evaluation"]) == (0.5, "eval0")
    assert found.evidence["distance"] > found.evidence["within"] + 0.4
    assert found.evidence["last"] > found.evidence["first"] + 0.4
    first = found.example
    assert first is not None
    assert split(A + B).places[first] == 600  # type: ignore[index]
    changes = found.fixes[0].changes
    assert changes == {"SFTConfig.train_sampling_strategy": ("sequential", "random")}


@pytest.mark.parametrize(
    "evaluations",
    [
        pytest.param([], id="no evaluation"),
        pytest.param([HELD["B"]], id="curriculum"),
        pytest.param([HELD["A"], HELD["B"]], id="one set of each kind"),
        pytest.param([shuffled(HELD["A"] + HELD["B"])], id="drawn from all"),
        pytest.param([HELD["C"]], id="of another kind"),
        pytest.param([HELD["A"], HELD["A"][:10]], id="a set too small to judge"),
    ],
)
def test_without_harm_to_what_is_evaluated_it_is_a_warning(evaluations: list[Rows]) -> None:
    found = seen(A + B, *evaluations)
    assert found is not None
    assert (found.severity.label, found.variant) == ("warning", "default")
    assert [fix.key for fix in found.fixes] == ["random", "shuffle", "on_purpose"]
    assert 'ignore=["SFT420"]' in preflight.fixes(found, "en")[-1].text


def test_an_evaluation_set_that_was_not_seen_may_be_of_the_last_kind() -> None:
    unseen = Split("eval", unseen=Skip("needs_trainer"))
    inputs = Inputs(IN_ORDER, split(A + B), (split(HELD["A"], "a"), unseen))
    (found,) = RowsInBlocksCheck().look(inputs)
    assert found.severity.label == "warning"


ORDERS: dict[str, tuple[Rows, float]] = {
    "five sources": ([row for n in range(5) for row in kind(n, 400)], 0.5),
    "a last block of 15 %": (kind(0, 1700) + kind(1, 300), 0.25),
    "in turns, half and half": (A[:300] + B[:300] + A[300:] + B[300:], 0.25),
    "ends as it began": (A[:300] + B + A[300:], 0.25),
    "three sources": (A + B + C, 0.25),
}


@pytest.mark.parametrize("name", ORDERS)
def test_more_than_two_blocks(name: str) -> None:
    rows, share = ORDERS[name]
    found = seen(rows)
    assert found is not None
    assert found.evidence["share"] == share
    assert seen(shuffled(rows)) is None


def test_five_sources_of_which_the_first_is_evaluated() -> None:
    found = seen(ORDERS["five sources"][0], HELD["A"])
    assert found is not None
    assert (found.severity.label, found.evidence["share"]) == ("error", 0.25)


def drifting(count: int) -> Rows:
    """Return rows of one book in its order: a twentieth of its words belong to the chapter."""
    rows = kind(0, count)
    return [
        tuple(token + 100_000 * (i * 12 // count) if token % 20 == 0 else token for token in row)
        for i, row in enumerate(rows)
    ]


def by_length(rows: Rows) -> Rows:
    return sorted(rows, key=len)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(A, id="one kind"),
        pytest.param(drifting(1000), id="a book"),
        pytest.param(by_length(A), id="sorted by length"),
        pytest.param(A[:240] + [row[::-1] for row in A[240:330]] + A[330:], id="scrambled rows"),
        pytest.param(A[:240] + C[:60] + A[240:], id="a small block in the middle"),
        pytest.param(kind(0, 1000) + kind(1, 30), id="a last block of 3 %"),
    ],
)
def test_what_is_left_alone(rows: Rows) -> None:
    assert seen(rows, HELD["A"]) is None


@pytest.mark.parametrize("sampler", ["random", "group_by_length", "batch_rebalance"])
def test_a_sampler_that_mixes_the_rows(sampler: str) -> None:
    assert seen(A + B, HELD["A"], context=RunContext(sampler=sampler)) is None


def test_a_run_that_never_reaches_the_last_block() -> None:
    short = IN_ORDER.replace(num_train_epochs=0.5)
    assert seen(A + B, HELD["A"], context=short) is None
    steps = IN_ORDER.replace(
        max_steps=70,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=1,
        world_size=1,
    )
    assert seen(A + B, HELD["A"], context=steps) is None
    found = seen(A + B, HELD["A"], context=steps.replace(max_steps=150))
    assert found is not None
    assert found.severity.label == "error"
    within_the_run = seen(A[:200] + B, HELD["A"], context=IN_ORDER.replace(num_train_epochs=0.5))
    assert within_the_run is not None


def test_packed_rows_keep_their_order() -> None:
    packed = IN_ORDER.replace(packing=True)
    assert seen(A + B, HELD["A"], context=packed) == seen(A + B, HELD["A"])


UNSEEN = split(A + B)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (Inputs(RunContext(), UNSEEN), "no_order"),
        (Inputs(IN_ORDER, UNSEEN.replace(places=None)), "no_places"),
        (Inputs(IN_ORDER, Split("train", unseen=Skip("streaming"))), "streaming"),
        (Inputs(IN_ORDER, split(A[:40] + B[:39])), "few_rows"),
        (Inputs(IN_ORDER.replace(num_train_epochs=0.1), UNSEEN), "few_rows"),
    ],
)
def test_what_cannot_be_judged_says_why(inputs: Inputs, reason: str) -> None:
    skipped = run_checks(inputs).skipped["rows-in-blocks"]
    assert skipped.key == reason
    for lang in ("en", "zh"):
        assert preflight.skip_reasons(run_checks(inputs), lang)["rows-in-blocks"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_it_is_told_with_the_numbers(lang: str) -> None:
    found = seen(A + B, HELD["A"])
    assert found is not None
    message = preflight.message(found, lang)
    for number in ("distance", "within", "first", "last"):
        assert f"{found.evidence[number]:.0%}" in message
    assert "train_sampling_strategy=sequential" in message
    assert "eval0" in message


MAKE: st.SearchStrategy[Callable[[int], Rows]] = st.builds(
    lambda shares, common: (
        lambda seed: [
            row
            for number, count in enumerate(shares)
            for row in kind(number, count, seed=seed, common=common)
        ]
    ),
    st.lists(st.integers(20, 150), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.3, 0.8]),
)


@settings(max_examples=60, deadline=None)
@given(MAKE, st.integers(0, 10**6))
def test_rows_of_any_kinds_are_left_alone_once_shuffled(
    make: Callable[[int], Rows], seed: int
) -> None:
    rows = shuffled(make(seed), seed)
    if len(rows) >= 80:
        assert seen(rows) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_numbers_of_tokens_mean_nothing(seed: int) -> None:
    names = {token: token for row in A + B + HELD["A"] for token in row}
    values = shuffled(list(names), seed)  # type: ignore[arg-type]
    names = dict(zip(names, values, strict=True))

    def renamed(rows: Rows) -> Rows:
        return [tuple(names[token] for token in row) for row in rows]

    found, again = seen(A + B, HELD["A"]), seen(renamed(A + B), renamed(HELD["A"]))
    assert found == again
