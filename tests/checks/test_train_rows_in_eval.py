from __future__ import annotations

import pytest

from sftdiag.api import make_settings
from sftdiag.checks import Inputs, run_checks
from sftdiag.guide import preflight
from sftdiag.observations import Observation, Skip
from sftdiag.samples import Sample, Split


def found(train_total: int, eval_total: int) -> Observation:
    rows = tuple(Sample((5, i), (5, i)) for i in range(100))
    others = tuple(Sample((6, i), (6, i)) for i in range(90))
    inputs = Inputs(
        train=Split("train", rows, train_total),
        evaluations=(Split("eval", rows[:10] + others, eval_total),),
    )
    seen = [o for o in run_checks(inputs).observations if o.code == "SFT413"]
    assert len(seen) == 1
    return seen[0]


def test_all_rows_give_the_share_itself() -> None:
    seen = found(100, 100)
    assert (seen.evidence["share_low"], seen.evidence["share_high"]) == (0.1, 0.1)
    assert "are training rows (10.0%)." in preflight.message(seen, "en")


@pytest.mark.parametrize(("shared", "told"), [(False, "web is a stream"), (True, None)])
def test_a_stream_beside_other_sets_is_said_not_to_be_looked_at(
    shared: bool, told: str | None
) -> None:
    rows = tuple(Sample((5, i), (5, i)) for i in range(100))
    other = rows[:10] if shared else tuple(Sample((6, i), (6, i)) for i in range(10))
    stream = Split("web", unseen=Skip("streaming"))
    inputs = Inputs(train=Split("train", rows, 100), evaluations=(Split("eval", other, 10), stream))
    outcome = run_checks(inputs)
    assert any(seen.code == "SFT413" for seen in outcome.observations) == shared
    report = preflight.report(outcome, make_settings(), "preflight")
    reason = report.skipped.get("train-rows-in-eval")
    assert (told is None) == (reason is None)
    assert reason is None or reason.startswith(str(told))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_sample_gives_the_share_with_its_interval(lang: str) -> None:
    few_eval, few_train = found(100, 1000), found(400, 100)
    assert few_eval.evidence["share"] == pytest.approx(0.1)
    assert few_train.evidence["share"] == pytest.approx(0.4)
    for seen, low, high in ((few_eval, 0.055, 0.174), (few_train, 0.221, 0.698)):
        assert seen.evidence["share_low"] == pytest.approx(low, abs=0.001)
        assert seen.evidence["share_high"] == pytest.approx(high, abs=0.001)
        message = preflight.message(seen, lang)
        assert f"{low:.1%}"[:3] in message
        assert "95" in message
