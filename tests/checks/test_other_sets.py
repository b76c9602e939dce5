"""A set whose answers are strangers' is told by another set of the run with its own answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from logs import decay, train_rows
from test_answers_of_other_rows import Pair, library, slipped, split

from sftdiag.checks import Inputs
from sftdiag.checks._matching import Matches, rows_of
from sftdiag.checks._other_sets import by_words
from sftdiag.checks.answers_of_other_rows import AnswersOfOtherRowsCheck
from sftdiag.findings import Severity
from sftdiag.guide import preflight
from sftdiag.monitor import Monitor
from sftdiag.observations import Observation, Outcome, Skip


def drawn(seed: int, train: int = 900, evaluated: int = 100) -> tuple[list[Pair], list[Pair]]:
    pairs = random.Random(seed).sample(library(), train + evaluated)
    return pairs[:train], pairs[train:]


def strangers(pairs: Sequence[Pair], others: Sequence[Pair]) -> list[Pair]:
    """Return the prompts with answers of rows that are in no set that is looked at."""
    return [(asked, said) for (asked, _), (_, said) in zip(pairs, others, strict=False)]


def look(train: list[Pair], evaluated: list[Pair]) -> Sequence[Observation] | Skip:
    eval_split = split(evaluated, full=True).replace(name="eval")
    return AnswersOfOtherRowsCheck().look(Inputs(train=split(train), evaluations=(eval_split,)))


def mixed_up(train: list[Pair], seed: int) -> list[Pair]:
    """Return the prompts with shuffled answers; of those that are looked at few are there."""
    shuffled = random.Random(seed).sample(train, len(train))
    return strangers(train, shuffled)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_training_rows_beside_sound_evaluation_rows(seed: int) -> None:
    train, evaluated = drawn(seed)
    found = look(mixed_up(train, seed), evaluated)
    assert not isinstance(found, Skip)
    ((severity, series, other),) = [(o.severity, o.series, o.evidence["other"]) for o in found]
    assert (severity, series, other) == (Severity.ERROR, "train", "eval")
    assert found[0].evidence["rank"] == pytest.approx(0.5, abs=0.05)
    assert float(found[0].evidence["other_rank"] or 0) > 0.6
    (told,) = preflight.findings(Outcome(tuple(found)), "en")
    assert "eval, whose rows are of the same kind" in told.message


def test_and_the_other_way_round() -> None:
    train, evaluated = drawn(4)
    found = look(train, mixed_up(evaluated, 4))
    assert not isinstance(found, Skip)
    # The model that comes of it is sound: its evaluation misleads.
    told = [(o.variant, o.series, o.severity) for o in found]
    assert told == [("strange", "eval", Severity.WARNING)]


def test_a_set_with_its_own_answers_proves_a_slip() -> None:
    """Prompts that take up the answer before theirs do so in the evaluation rows, too."""
    train, evaluated = drawn(8)
    slipped = strangers(train, [*train[1:], train[0]])
    found = look(slipped, evaluated)
    assert not isinstance(found, Skip)
    assert [(o.variant, o.severity) for o in found] == [("previous", Severity.ERROR)]
    found = look(slipped, strangers(evaluated, [*evaluated[1:], evaluated[0]]))
    assert not isinstance(found, Skip)
    assert {o.severity for o in found} == {Severity.WARNING}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sizes", [(900, 100), (300, 60), (64, 96)])
def test_sound_sets_are_left_alone(seed: int, sizes: tuple[int, int]) -> None:
    found = look(*drawn(seed, *sizes))
    assert isinstance(found, Skip) or found == ()


def test_few_evaluation_rows_tell_where_the_words_are_plain() -> None:
    """An error takes a set whose own answers stand out by themselves; 40 rows do not prove that."""
    train, evaluated = drawn(2, 400, 40)
    plain = [(f"{asked} {said}", said) for asked, said in train]
    found = look(mixed_up(plain, 2), [(f"{asked} {said}", said) for asked, said in evaluated])
    assert not isinstance(found, Skip)
    assert found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [(900, 40), (300, 24)])
def test_few_sound_rows_alarm_nobody(seed: int, sizes: tuple[int, int]) -> None:
    found = look(*drawn(seed, *sizes))
    assert isinstance(found, Skip) or found == ()


def test_a_verdict_names_what_few_evaluation_rows_leave_open() -> None:
    train, evaluated = drawn(5, 900, 10)
    told = look(mixed_up(train, 5), evaluated)
    assert told == Skip("few_evaluated", {"rows": 10, "least": 50})
    monitor = Monitor()
    monitor.take_checks(Outcome(skipped={AnswersOfOtherRowsCheck.name: told}))
    for row in train_rows([decay(step, 60) for step in range(60)], learning_rate=2e-5):
        monitor.feed_entry(row)
    report = monitor.report()
    assert report.verdict == "healthy"
    first, *rest = str(report).splitlines()
    assert first.endswith("found no fault. (not judged: answers-of-other-rows)")
    assert "10 evaluation rows are too few" in "".join(rest)


def test_where_both_are_shuffled_nothing_is_judged() -> None:
    train, evaluated = drawn(5)
    found = look(mixed_up(train, 5), mixed_up(evaluated, 6))
    assert isinstance(found, Skip)
    assert found.key == "no_shared_words"


def test_many_answers_of_one_prompt_are_its_own() -> None:
    """Nine other answers of the same prompt share as much with it: none stands out, all are own."""
    train, evaluated = drawn(7, 100, 100)
    many = [(asked, f"{said} ({n})") for asked, said in train for n in range(10)]
    found = look(many, evaluated)
    assert isinstance(found, Skip) or found == ()


def test_a_task_of_another_kind_says_nothing() -> None:
    """Prompts by number share nothing with what they ask for; the evaluation set names it."""
    train, evaluated = drawn(8)
    numbered = [(f"Entry {n * 7919 % 100_003}?", said) for n, (_, said) in enumerate(train)]
    found = look(numbered, evaluated)
    assert isinstance(found, Skip)


def test_answers_of_another_length_say_nothing() -> None:
    train, evaluated = drawn(9)
    short = [(asked, " ".join(said.split()[-2:])) for asked, said in mixed_up(train, 9)]
    assert isinstance(look(short, evaluated), Skip)


@pytest.mark.parametrize("seed", range(4))
def test_strangers_stand_at_chance(seed: int) -> None:
    train, _ = drawn(seed)
    seen = by_words(Matches(rows_of(split(mixed_up(train, seed)))))
    own = by_words(Matches(rows_of(split(train))))
    # Where next to nothing is shared the strangers have no scatter of their own.
    assert abs(seen.above) < 4 * max(seen.error, own.error)
    assert own.above > 6 * own.error


def test_a_slip_is_told_as_a_slip() -> None:
    train, evaluated = drawn(10)
    found = look(slipped(train, 1), evaluated)
    assert not isinstance(found, Skip)
    assert [o.variant for o in found] == ["previous"]


def asked(train: float, evaluated: float, *, rows: int = 96, spread: float = 4.0) -> Any:
    """Return what SFT419 says where words do not tell, and the model found these gains."""
    draw = random.Random(f"{train} {evaluated} {rows}")
    sets = {"train": train, "eval": evaluated}
    gains = {
        name: tuple(draw.gauss(mean, spread) for _ in range(rows)) for name, mean in sets.items()
    }
    pairs = enumerate(random.Random(0).sample(library(), 1000))
    numbered = [(f"Entry {n * 7919 % 100_003}?", said) for n, (_, said) in pairs]
    train_split, eval_split = split(numbered[:900]), split(numbered[900:], full=True)
    splits = Inputs(train=train_split, evaluations=(eval_split.replace(name="eval"),), gains=gains)
    found = AnswersOfOtherRowsCheck().look(splits)
    return found if isinstance(found, Skip) else [(o.variant, o.series) for o in found]


def test_what_the_model_says_counts_where_words_do_not_tell() -> None:
    assert asked(0.0, 4.0) == [("unread", "train")]
    assert asked(4.0, 4.0) == []
    assert asked(4.0, 0.0) == [("unread", "eval")]
    assert isinstance(asked(0.0, 0.0), Skip)  # a model that cannot read, or strangers everywhere
    assert isinstance(asked(0.0, 4.0, rows=20), Skip)


@pytest.mark.parametrize("gain", [0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("rows", [24, 48, 96])
def test_sets_that_a_model_reads_alike_are_left_alone(gain: float, rows: int) -> None:
    found = asked(gain, gain, rows=rows)
    assert isinstance(found, Skip) or found == []
