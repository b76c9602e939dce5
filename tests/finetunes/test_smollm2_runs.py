"""The stored runs of the second base, judged by today's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu.finetunes import bars, reasons
from benchmarks.gpu.finetunes.report import Scores
from benchmarks.gpu.finetunes.results import SECOND_BASE, load
from benchmarks.gpu.finetunes.smollm2 import matrix

RUNS = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu" / "runs" / SECOND_BASE


@pytest.fixture(scope="module")
def scores() -> Scores:
    return Scores(load(RUNS), reasons.SECOND, bars.SECOND)


def test_all_lines_hold(scores: Scores) -> None:
    assert [line for line in scores.reached if not line.holds] == []


def test_no_healthy_run_is_warned_of_untruly_or_stopped(scores: Scores) -> None:
    """Save for those whose evaluation loss did rise, as is said of them."""
    warned = [(run, said) for run, said in scores.healthy if said.warned() is not None]
    for run, said in warned:
        losses = [row["eval_loss"] for row in run.full.log if "eval_loss" in row]
        loud = [f.code for f in said.report.findings if f.fired.keys() - {"info"}]
        assert loud == ["SFT201"], run.spec.name
        assert losses[-1] > 1.03 * min(losses), run.spec.name
    assert len(warned) <= 4
    assert [run.spec.name for run, said in scores.healthy if said.stop is not None] == []


def test_stopping_at_warnings_saves_more_and_stops_healthy_runs_for_reasons_only(
    scores: Scores,
) -> None:
    errors, warnings = scores.stopping
    assert (errors.stop_on, warnings.stop_on) == ("error", "warning")
    assert (errors.stopped, warnings.stopped) == (0, warnings.truly)
    assert warnings.right > errors.right
    assert (errors.wrong, warnings.wrong) == (0, 0)
    assert errors.saved != warnings.saved
    for saved, more in (
        (errors.saved, warnings.saved),
        (errors.saved_later, warnings.saved_later),
    ):
        assert saved is not None
        assert more is not None
        assert 0.0 < saved <= more < 1.0


def test_no_fault_is_called_by_another_s_name(scores: Scores) -> None:
    assert [s.run.spec.name for s in scores.scored if s.wrong] == []


def test_the_runs_are_those_of_the_matrix(scores: Scores) -> None:
    specs = {spec.name: spec for spec in matrix.matrix()}
    assert [run.spec.name for run in scores.runs if specs.get(run.spec.name) != run.spec] == []


def test_every_miss_has_a_reason_and_no_reason_is_left_over(scores: Scores) -> None:
    assert scores.unexplained == []
    assert scores.reasons.keys() == {miss.name for miss in scores.missed}
