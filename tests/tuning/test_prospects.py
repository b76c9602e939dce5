"""A curve is given up only where it cannot become the best."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sftdiag.tuning.prospects import at_share, cannot_become_best

SHARES = [i / 8 for i in range(1, 9)]


@st.composite
def curves(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Curves as trainings have them: a fall towards a level, steeper or slower."""
    level, height, pace = draw(st.floats(0.5, 2)), draw(st.floats(0, 3)), draw(st.floats(0.5, 6))
    return [(share, level + height * (1 - share) ** pace) for share in SHARES]


@given(st.lists(curves(), min_size=2, max_size=6))
def test_nothing_is_said_of_a_trial_that_falls_as_the_others_did(
    done: list[list[tuple[float, float]]],
) -> None:
    """What would have been best, by a fall that another trial also had, is never given up."""
    best = min(curve[-1][1] for curve in done)
    falls = {share: max(at_share(c, share) - c[-1][1] for c in done) for share in SHARES}
    for end in (1, len(SHARES) - 1):
        curve = [(share, best + falls[share]) for share in SHARES[:end]]
        assert not cannot_become_best(curve, done, best)


@given(curves(), st.floats(0.01, 3))
def test_a_curve_that_stands_still_above_all_falls_is_given_up(
    done: list[tuple[float, float]], above: float
) -> None:
    falls = 2 * (done[3][1] - done[-1][1])
    curve = [(share, done[-1][1] + falls + above) for share in SHARES[:4]]
    assert cannot_become_best(curve, [done], done[-1][1])


def test_nothing_is_said_without_rivals_or_early() -> None:
    done = [[(0.25, 2.0), (1.0, 1.0)]]
    assert not cannot_become_best([(0.5, 99.0)], [], 1.0)
    assert not cannot_become_best([(0.1, 99.0)], done, 1.0)
    assert not cannot_become_best([], done, 1.0)
    assert not cannot_become_best([(1.0, 99.0)], done, 1.0)
    assert at_share(done[0], 0.2) is None
