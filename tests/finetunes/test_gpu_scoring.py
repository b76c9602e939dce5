"""The scoring of the GPU fine-tunes, on small results that are made up."""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from logs import overfitting, train_rows

from benchmarks.gpu.finetunes import bars, misses
from benchmarks.gpu.finetunes.matrix import Spec
from benchmarks.gpu.finetunes.replay import Judged, agrees, of_run
from benchmarks.gpu.finetunes.report import Scores
from benchmarks.gpu.finetunes.results import Result, Run, load
from benchmarks.gpu.finetunes.score import Scored, harm, onset, score, stopped_on
from sftdiag.context import RunContext
from sftdiag.findings import Finding, Report, Severity, Summary
from sftdiag.observations import Observation, Outcome

FULL = Spec()
BROKEN = replace(FULL, fault="learning-rate-too-high", learning_rate=0.1)
OVERFIT = replace(FULL, fault="overfitting", rows=400, epochs=20)
DROPPED = Outcome(
    (
        Observation(
            "SFT403",
            "rows-dropped",
            Severity.ERROR,
            "label-mask",
            evidence={"dropped": 10, "before": 10, "share": 1.0, "max_length": 256},
        ),
    ),
    ("rows-dropped",),
)
"""What the checks say where no row is left."""


def result(
    spec: Spec,
    log: Sequence[dict[str, Any]] = (),
    *,
    watched: bool = False,
    steps: int = 100,
    planned: int | None = None,
    loss: float | None = 2.0,
    checked: Outcome | None = None,
    findings: Sequence[dict[str, Any]] = (),
) -> Result:
    """A run of one second a step, timed every ten steps."""
    return Result(
        {
            "spec": spec.as_dict(),
            "watched": watched,
            "log": list(log),
            "max_steps": steps if planned is None else planned,
            "steps": steps,
            "seconds": float(steps) if steps else None,
            "times": {str(step): float(step) for step in range(10, steps + 1, 10)},
            "checkpoints": [],
            "losses": {"eval_loss": loss, "held_out": loss},
            "context": RunContext(max_steps=steps).to_dict(),
            "checked": (checked or Outcome()).to_dict(),
            "findings": list(findings),
        }
    )


def evaluated(losses: Sequence[float], every: int = 10) -> list[dict[str, Any]]:
    return [{"step": every * at, "eval_loss": loss} for at, loss in enumerate(losses, start=1)]


def twins(*losses: float, spec: Spec = FULL) -> list[Run]:
    runs = []
    for seed, loss in enumerate(losses, start=1):
        healthy = replace(spec, seed=seed)
        runs.append(Run(healthy, watched=result(healthy, watched=True, loss=loss)))
    return runs


def nan_after(step: int, steps: int = 100) -> list[dict[str, Any]]:
    return train_rows([2.0 if at < step else float("nan") for at in range(1, steps + 1)])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(2.05, False), (2.09, False), (2.5, True), (None, True)],
)
def test_harm_is_a_loss_above_the_twins(loss: float | None, expected: bool) -> None:
    run = Run(BROKEN, plain=result(BROKEN, loss=loss))
    assert harm(run, [run, *twins(2.0, 2.01, 1.99)]) == (expected, "")


def test_harm_needs_more_than_what_seeds_differ_by() -> None:
    run = Run(BROKEN, plain=result(BROKEN, loss=2.5))
    assert harm(run, twins(1.7, 2.0, 2.3)) == (False, "")


def test_harm_is_unknown_without_twins_of_two_seeds() -> None:
    run = Run(BROKEN, plain=result(BROKEN, loss=9.0))
    trap = replace(FULL, seed=2, trap="batch-1")
    trapped = Run(trap, watched=result(trap, watched=True))
    cut = replace(FULL, seed=3)
    stopped = Run(cut, watched=result(cut, watched=True, steps=10, planned=100))
    others = twins(2.0, 2.1, spec=replace(FULL, rows=50_000))
    known, why = harm(run, [trapped, stopped, *others, *twins(2.0)])
    assert known is None
    assert why == "healthy twins of 2 seeds are needed; there is 1"


def test_harm_is_unknown_of_a_run_that_was_only_stopped() -> None:
    run = Run(BROKEN, watched=result(BROKEN, watched=True, steps=10, planned=100, loss=9.0))
    assert harm(run, twins(2.0, 2.0))[0] is None


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (BROKEN, 0),
        (replace(FULL, fault="lost-optimizer", onset=0.5), 50),
        (replace(FULL, fault="unshuffled", ordered=True, epochs=1, onset=0.5), 50),
        # 40 % of the rows are the first fifth of two epochs.
        (replace(FULL, fault="corrupted-shard", ordered=True, epochs=2, onset=0.4), 20),
        # Not 80, whose one lucky evaluation its neighbours do not share.
        (OVERFIT, 40),
    ],
)
def test_onset(spec: Spec, expected: int) -> None:
    log = evaluated([3.0, 2.5, 2.2, 2.0, 2.1, 2.2, 2.3, 1.0, 2.4, 2.5])
    assert onset(Run(spec, plain=result(spec, log))) == expected


def test_seconds_between_timed_steps_are_a_line() -> None:
    run = result(BROKEN, steps=95)
    assert run.seconds_at(95) == run.seconds_at(500) == 95
    assert run.seconds_at(34) == pytest.approx(34)
    assert run.seconds_at(0) == pytest.approx(1)


def test_rotation_spares_the_best_checkpoint() -> None:
    run = result(OVERFIT, evaluated([3.0, 2.0, 2.1, 2.2, 2.3, 1.9, 2.4]))
    assert run.kept(5) == []
    assert run.kept(20) == [10, 20]
    assert run.kept(40) == [20, 30, 40]
    assert run.kept(59) == [20, 40, 50]
    assert run.kept(70) == [50, 60, 70]


def test_a_stop_saves_what_comes_after_it() -> None:
    run = Run(BROKEN, plain=result(BROKEN, nan_after(10), loss=None))
    (scored,) = score([run])
    stop = scored.judged.stop
    assert stop is not None
    assert 10 <= stop <= 12
    assert scored.found
    assert scored.detected == stop
    assert scored.delay == pytest.approx(stop / 100)
    assert (scored.at_stake, scored.saved) == (100, pytest.approx(100 - stop))


def test_of_a_later_fault_what_remained_after_the_onset_is_at_stake() -> None:
    spec = replace(FULL, fault="lost-optimizer", onset=0.5)
    codes = {"SFT106"}
    run = Run(spec, plain=result(spec, nan_after(60), loss=None))
    scored = Scored(run, True, "", onset(run), of_run(run))
    assert scored.judged.report.primary is not None
    assert scored.judged.report.primary.code in codes
    assert scored.at_stake == pytest.approx(50)
    assert 38 <= scored.saved <= 40
    # A stop before the onset saves no more than all that was at stake.
    early = Run(spec, plain=result(spec, nan_after(10), loss=None))
    assert Scored(early, True, "", onset(early), of_run(early)).saved == pytest.approx(50)


def test_a_warning_before_the_onset_does_not_name_the_fault() -> None:
    spec = replace(FULL, fault="fp16", onset=0.5)
    for begin, found in ((10, False), (70, True)):
        run = Run(spec, plain=result(spec, nan_after(begin), loss=None))
        scored = Scored(run, True, "", onset(run), of_run(run))
        assert scored.found is found
        assert (scored.delay < inf) is found


def test_a_warning_that_is_over_at_the_end_was_told() -> None:
    def finding(code: str, label: str, cause: str | None = None) -> Finding:
        fired = {label: 10}
        severity = Severity.parse(label)
        known = {"resolved_step": 90, "consequence_of": cause}
        return Finding(f"{code}@10", code, "", severity, "loss", "", "", 10, 10, fired, **known)

    told = finding("SFT102", "warning")
    others = (finding("SFT104", "info"), finding("SFT105", "warning", told.id))
    report = Report("live", "healthy", Summary(), findings=(*others, told))
    assert Judged(report, None).primary == told
    assert Judged(report.replace(findings=others), None).primary is None
    now = told.replace(id="SFT201@10", code="SFT201", resolved_step=None)
    report = report.replace(findings=(*others, told, now), primary_id=now.id)
    assert Judged(report, None).primary == now


def test_another_fault_s_finding_is_a_miss() -> None:
    spec = replace(FULL, fault="overfitting")
    run = Run(spec, plain=result(spec, nan_after(10), loss=None))
    (missed,) = misses.of_faulty(score([run, *twins(2.0, 2.0)]))
    assert missed.what.startswith("said SFT106")
    assert misses.unexplained([missed], {}) == [spec.name]
    assert misses.unexplained([missed], {spec.name: "a reason"}) == []


def test_a_check_before_step_1_detects_at_step_0() -> None:
    spec = replace(FULL, fault="all-masked")
    log = train_rows([2.0] * 100)
    run = Run(spec, plain=result(spec, log, checked=DROPPED, loss=None))
    (scored,) = score([run])
    assert (scored.detected, scored.judged.stop, scored.delay) == (0, 0, 0.0)
    assert scored.found
    assert scored.explained
    # The step that is done before the run ends is not saved.
    assert scored.saved == pytest.approx(99)


def test_a_run_that_failed_before_it_began() -> None:
    spec = replace(FULL, fault="all-masked")
    run = Run(spec, plain=result(spec, steps=0, loss=None, checked=DROPPED))
    (scored,) = score([run, *twins(2.0, 2.0)])
    assert (scored.harm, scored.found, scored.delay) == (True, True, 0.0)
    assert (scored.at_stake, scored.saved) == (0, 0)


def test_the_best_kept_checkpoint_of_a_stop() -> None:
    log = overfitting()
    steps = max(row["step"] for row in log)
    run = Run(OVERFIT, plain=result(OVERFIT, log, steps=steps, loss=9.0))
    (scored,) = score([run])
    assert scored.judged.stop is not None
    assert scored.best is not None
    kept, best = scored.best
    assert best == min(loss for _, loss in run.full.evaluations)
    assert kept == best
    assert misses.best_is_kept(scored)
    early = Scored(run, True, "", scored.onset, replace(scored.judged, stop=scored.onset // 2))
    assert misses.best_is_kept(early) is False
    never = Scored(run, True, "", scored.onset, replace(scored.judged, stop=None))
    assert misses.best_is_kept(never) is None


def test_a_warning_stops_only_where_that_is_asked_for() -> None:
    (found,) = DROPPED.observations
    warned = DROPPED.replace(observations=(found.replace(severity=Severity.WARNING),))
    spec = replace(FULL, fault="all-masked")
    log = train_rows([2.0 - at / 100 for at in range(100)])
    faulty = Run(spec, plain=result(spec, log, checked=warned, loss=None))
    healthy = Run(FULL, plain=result(FULL, log, checked=warned))
    lines = [
        bars.stopping(
            stop_on,
            stopped_on(stop_on, score([faulty, *twins(2.0, 2.0)])),
            [(healthy, of_run(healthy, stop_on=stop_on))],
            reasons,
        )
        for stop_on in ("error", "warning")
        for reasons in ({}, {FULL.name: "true: it is"})
    ]
    assert [(line.stopped, line.truly, line.right) for line in lines] == [
        (0, 0, 0),
        (0, 0, 0),
        (1, 0, 1),
        (1, 1, 1),
    ]
    assert [line.saved for line in lines] == pytest.approx([0.0, 0.0, 0.99, 0.99])


def test_what_is_never_detected_counts_as_infinite() -> None:
    quiet = Run(BROKEN, plain=result(BROKEN, train_rows([2.0 - at / 100 for at in range(100)])))
    (scored,) = score([quiet])
    assert scored.delay == inf
    assert bars.delay([scored]) == inf
    assert bars.saved_share([scored]) == 0.0


def test_live_and_today_are_compared() -> None:
    run = Run(BROKEN, plain=result(BROKEN, nan_after(10)))
    primary, first, stop = of_run(run).said
    assert stop is not None
    found = [{"code": primary, "primary": True, "fired": {"error": first}}]
    log = nan_after(10)[:stop]
    live = result(BROKEN, log, watched=True, steps=stop, planned=100, findings=found)
    assert agrees(run, live)
    other = result(BROKEN, log, watched=True, steps=stop, planned=100, findings=[])
    assert not agrees(run, other)


def test_the_page_of_stored_files(tmp_path: Path) -> None:
    runs = [*twins(2.0, 2.0), Run(BROKEN, plain=result(BROKEN, nan_after(10), loss=None))]
    for run in runs:
        kind = "watched" if run.plain is None else "plain"
        path = tmp_path / f"{run.spec.name}.{kind}.json.xz"
        path.write_bytes(lzma.compress(json.dumps(run.full.data).encode()))
    scores = Scores(load(tmp_path), {})
    page = scores.page()
    assert "| right primary finding on 95% of the harmful faults | 1 of 1 (100.0%) | yes |" in page
    assert "| no healthy run stopped | 0 of 2 | yes |" in page
    path.rename(tmp_path / "other.plain.json.xz")
    with pytest.raises(ValueError, match="holds learning-rate-too-high"):
        load(tmp_path)


def test_a_healthy_run_that_is_warned_is_a_miss() -> None:
    healthy = Run(FULL, watched=result(FULL, nan_after(50), watched=True))
    scores = Scores([healthy], {})
    assert scores.unexplained == [FULL.name]
    assert "| no healthy run stopped | 1 of 1 | **no** |" in scores.page()


def test_nothing_holds_without_runs() -> None:
    page = Scores([], {}).page()
    assert "| yes |" not in page
    assert page.count("**no**") == 10


def test_plots_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = Run(OVERFIT, plain=result(OVERFIT, overfitting(), steps=200, loss=9.0))
    scores = Scores([run, *twins(2.0, 2.0, spec=replace(FULL, rows=400))], {OVERFIT.name: "why"})
    plots = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        scores.write(tmp_path / name)
        plots.append((tmp_path / name / "gpu" / "overfitting.svg").read_bytes())
    assert plots[0] == plots[1]
    assert len(plots[0]) < 40_000
