"""What ranks agree on over a store: two ranks as threads, without a process group."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra trainer")

from sftdiag.findings import Severity  # noqa: E402
from sftdiag.live.agreement import Agreement, Word, joined  # noqa: E402
from sftdiag.live.ranks import Ranks  # noqa: E402
from sftdiag.observations import Observation, Outcome, over_ranks  # noqa: E402

SHORT = 0.3
"""Seconds to wait for a rank that does not come."""


@pytest.fixture
def store() -> Any:
    return torch.distributed.HashStore()


def of(store: Any, count: int = 2) -> list[Ranks]:
    """Return the ranks of one run."""
    return [Ranks(rank, count, store) for rank in range(count)]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Call on every rank at the same time."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(30) for future in [pool.submit(call) for call in calls]]


def meet(ranks: list[Ranks], words: list[str], **seconds: float) -> list[Any]:
    pairs = zip(ranks, words, strict=True)
    return at_once(*(lambda r=r, w=w: r.meet(w, **seconds) for r, w in pairs))


@pytest.mark.parametrize("count", [2, 5])
def test_all_have_all_words(store: Any, count: int) -> None:
    ranks = of(store, count)
    for rank in ranks:
        rank.announce()
    words = [f"of {rank}" for rank in range(count)]
    assert meet(ranks, words) == [words] * count
    for call in range(3):
        said = [[call, rank] for rank in range(count)]
        pairs = list(zip(ranks, said, strict=True))
        got = at_once(*(lambda r=r, w=w: r.exchange(w) for r, w in pairs))
        assert got == [said] * count
    assert all(rank.missing == () and rank.why is None for rank in ranks)


def test_a_rank_of_one_has_its_own_word() -> None:
    assert Ranks().meet("mine") == Ranks().exchange("mine") == ["mine"] * 1


def test_a_rank_without_the_callback_is_named_on_the_others(store: Any) -> None:
    for missing in range(3):
        there = [rank for rank in of(store, 3) if rank.rank != missing]
        for rank in there:
            rank.announce()
        got = at_once(*(lambda r=r: r.meet("word", grace=SHORT) for r in there))
        assert got == [[], []]
        assert [rank.missing for rank in there] == [(missing,)] * 2
        assert [rank.why for rank in there] == ["absent"] * 2
        # One of them says it.
        assert [rank.speaks for rank in there] == [True, False]
        assert [rank.exchange("word") for rank in there] == [[], []]
        for rank in there:
            rank.leave()


def test_nothing_is_read_that_another_run_wrote(store: Any) -> None:
    """Runs that only one rank watched come before, as many as you like, then one on both."""
    for earlier in (0, 0, 1, 0):
        alone = Ranks(earlier, 2, store)
        alone.announce()
        assert alone.meet("of an earlier run", grace=SHORT / 3) == []
        alone.leave()
        ranks = of(store)
        for rank in ranks:
            rank.announce()
        assert meet(ranks, ["new 0", "new 1"]) == [["new 0", "new 1"]] * 2
        for rank in ranks:
            rank.leave()


def test_a_run_that_an_error_ended_is_not_taken_for_this_one(store: Any) -> None:
    """It never took its announcement back; the rank does not watch the next run."""
    for missing in (0, 1):
        crashed = of(store)
        for rank in crashed:
            rank.announce()
        assert meet(crashed, ["a", "b"]) == [["a", "b"]] * 2
        (there,) = (rank for rank in of(store) if rank.rank != missing)
        there.announce()
        assert there.meet("word", grace=SHORT, patience=60) == []
        assert (there.missing, there.why) == ((missing,), "absent")


def test_a_word_of_an_unknown_crashed_run_is_not_taken_either(store: Any) -> None:
    """Rank 0 was not there when it crashed, so it has not met that announcement."""
    Ranks(1, 2, store).announce()
    there = Ranks(0, 2, store)
    there.announce()
    assert there.meet("word", grace=SHORT, patience=SHORT) == []
    assert (there.missing, there.why) == ((1,), "late")


@pytest.mark.parametrize("late", [0, 1])
def test_a_rank_that_comes_too_late_sees_that_the_others_go_on_without(
    store: Any, late: int
) -> None:
    """At the first meeting and at a later one: no rank acts where another does not."""
    for meeting in (True, False):
        ranks = of(store)
        for rank in ranks:
            rank.announce()
        if not meeting:
            assert meet(ranks, ["a", "b"]) == [["a", "b"]] * 2
        early, behind = ranks[1 - late], ranks[late]

        def come(rank: Ranks, meeting: bool = meeting) -> list[Any]:
            give = rank.meet if meeting else rank.exchange
            return give("word", patience=SHORT)

        assert come(early) == []
        assert come(behind) == []
        assert early.why == behind.why == "late"


def test_old_words_do_not_pile_up(store: Any) -> None:
    ranks = of(store)
    for rank in ranks:
        rank.announce()
    meet(ranks, ["a", "b"])
    kept = []
    for _ in range(20):
        at_once(*(lambda r=r: r.exchange("word") for r in ranks))
        kept.append(store.num_keys())
    assert max(kept) == kept[0]


def test_ranks_without_a_store_cannot_agree() -> None:
    rank = Ranks(0, 2, None)
    rank.announce()
    assert rank.meet("word") == []
    assert (rank.why, rank.speaks) == ("no_store", True)
    assert not Ranks(1, 2, None).speaks


def seen(name: str, severity: Severity = Severity.ERROR, **changes: Any) -> Outcome:
    found = Observation("SFT4" + name[:2], name, severity, "mask", **changes)
    return Outcome((found,), (name,))


def test_the_most_severe_of_what_ranks_saw_counts_with_the_ranks_that_saw_it() -> None:
    mild, grave = seen("01", Severity.WARNING), seen("01", evidence={"rows": 3})
    (found,) = over_ranks([mild, grave, Outcome()]).observations
    assert (found.severity, found.evidence, found.ranks) == (Severity.ERROR, {"rows": 3}, (0, 1))
    both = over_ranks([mild, mild])
    assert both.observations == mild.observations


def test_a_rank_with_another_train_on_prompt_has_no_say_about_prompts() -> None:
    words = [Word(Outcome(), True), Word(seen("prompt-trained")), Word(seen("02"), True)]
    outcome = joined(words)
    assert outcome is not None
    assert [(o.name, o.ranks) for o in outcome.observations] == [("02", (2,))]
    assert joined([Word(), Word()]) is None


@pytest.mark.parametrize("failed", [0, 1, 2])
def test_no_rank_waits_for_one_that_failed(store: Any, failed: int) -> None:
    """The others learn which and why at once, and none of them acts any more."""
    ranks = of(store, 3)
    for rank in ranks:
        rank.announce()
    assert meet(ranks, ["a", "b", "c"]) == [["a", "b", "c"]] * 3
    ranks[failed].fail("KeyError: 'loss'")
    there = [rank for rank in ranks if rank.rank != failed]
    for _ in range(2):
        # at_once gives up long before this patience is over.
        got = at_once(*(lambda r=r: r.exchange("stop", patience=600.0) for r in there))
        assert got == [[], []]
    for rank in there:
        assert (rank.why, rank.missing, rank.reason) == ("failed", (failed,), "KeyError: 'loss'")
    assert ranks[failed].exchange("stop") == []


def test_a_rank_that_fails_before_the_ranks_have_met_is_not_waited_for(store: Any) -> None:
    ranks = of(store)
    for rank in ranks:
        rank.announce()
    ranks[1].fail("ValueError")
    assert ranks[0].meet("word", grace=SHORT, patience=600.0) == []
    assert (ranks[0].missing, ranks[0].why) == ((1,), "failed")


def test_ranks_that_want_different_things_do_none_of_them(store: Any) -> None:
    ranks = of(store, 3)
    for rank in ranks:
        rank.announce()
    meet(ranks, ["a", "b", "c"])
    agreements = [Agreement(rank) for rank in ranks]
    for actions, same in ((["stop"] * 3, True), (["stop", "stop", "raise"], False)):
        pairs = list(zip(agreements, actions, strict=True))
        assert at_once(*(lambda a=a, w=w: a.at_action(w) for a, w in pairs)) == [same] * 3
    assert [rank.why for rank in ranks] == ["apart"] * 3
    assert at_once(*(lambda a=a: a.at_action("stop") for a in agreements)) == [False] * 3
