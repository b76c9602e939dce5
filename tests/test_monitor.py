from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Row, feed, fired, healthy, overfitting, train_rows, write_state

import sftdiag
from sftdiag.cases import MAX_ONSETS
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.detectors.eval_loss_rising import EvalLossRisingDetector
from sftdiag.findings import Detection, Finding
from sftdiag.guide import diagnosis
from sftdiag.monitor import Monitor
from sftdiag.signals.course import course_of
from sftdiag.sources.journal import Segment

levels = st.floats(0.0, 12.0) | st.sampled_from([0.0, math.nan, math.inf, 11.3])
rows = st.fixed_dictionaries(
    {},
    optional={
        "loss": levels,
        "eval_loss": levels,
        "eval_b_loss": levels,
        "eval_b_runtime": st.just(1.0),
        "grad_norm": levels,
        "learning_rate": st.sampled_from([0.0, 1e-8, 2e-5, 1e-3]),
        "entropy": levels,
        "mean_token_accuracy": st.floats(0, 1),
        "epoch": st.floats(0, 5),
        "train_runtime": st.just(1.0),
        "reward": levels,
    },
)


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """Logs of repeated stretches, so that flat, rising and broken ones occur."""
    result: list[Row] = []
    step = 0
    for row in draw(st.lists(rows, min_size=1, max_size=6)):
        drift = draw(st.sampled_from([0.0, 0.0, 0.05, -0.02]))
        for index in range(draw(st.integers(1, 30))):
            step += draw(st.sampled_from([1, 1, 1, 5, -3]))
            moved = {k: v + drift * index if "loss" in k else v for k, v in row.items()}
            result.append({**moved, "step": max(0, step)})
    return result


@settings(max_examples=150, deadline=None)
@given(logs())
def test_offline_equals_live(log: list[Row]) -> None:
    """One go and record by record, asking for a report in between, say the same."""
    live = Monitor(source="state")
    changes = []
    for row in log:
        changes += live.feed_entry(dict(row))
        live.report()
    offline = sftdiag.analyze({"log_history": log})
    assert repr(live.report()) == repr(offline)
    told = {(f.id, label) for f in changes for label in f.fired}
    assert told == {(f.id, label) for f in offline.findings for label in f.fired}


def test_one_that_has_taken_nothing_in_is_pickled_without_the_core() -> None:
    """Compiled, that cannot be pickled, and a search with Ray pickles the trainer's callbacks."""
    known = RunContext(max_steps=200, vocab_size=32_000)
    content = pickle.dumps(Monitor(known, Settings(lang="zh"), "run"))
    assert b"sftdiag.signals" not in content
    assert b"sftdiag.detectors" not in content
    sent, own = pickle.loads(content), Monitor(known, Settings(lang="zh"), "run")
    for row in overfitting():
        assert sent.feed_entry(row) == own.feed_entry(row)
    assert repr(sent.report()) == repr(own.report())
    assert repr(pickle.loads(pickle.dumps(own)).report()) == repr(own.report())


@settings(max_examples=100, deadline=None)
@given(logs(), st.data())
def test_a_prefix_tells_only_what_the_whole_tells(log: list[Row], data: st.DataObject) -> None:
    """What fired by some record is in every later report, with the same onset and steps."""
    cut = data.draw(st.integers(1, len(log)))
    early = sftdiag.analyze({"log_history": log[:cut]}).findings
    late = {f.id: f for f in sftdiag.analyze({"log_history": log}).findings}
    for finding in early:
        assert late[finding.id].onset_step == finding.onset_step
        assert late[finding.id].fired.items() >= finding.fired.items()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1e-3, 0.25, 1.0, 7.0, 1e3]), st.sampled_from([overfitting, healthy]))
def test_evaluation_rules_do_not_depend_on_the_losses_scale(scale: float, make: Any) -> None:
    scaled = [{k: v * scale if "loss" in k else v for k, v in row.items()} for row in make()]
    # A loss of another scale is at a level that it cannot have, which is another finding.
    evaluated = [told for told in fired(scaled) if told[0] != "implausible-loss"]
    assert evaluated == fired(make())


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 180), max_size=5))
def test_a_few_nan_evaluations_change_no_verdict_on_the_train_loss(where: set[int]) -> None:
    log = healthy()
    for index in where:
        log.insert(index, {"step": log[index]["step"], "eval_loss": math.nan})
    assert {name for name, _, _ in fired(log)} <= {"eval-not-finite"}


def test_a_healthy_run_is_silent_at_every_step() -> None:
    for seed in range(20):
        assert fired(healthy(seed=seed)) == []


def test_findings_keep_onset_and_first_step_when_they_rise() -> None:
    (warning, error) = feed(overfitting(rise=0.008))
    assert (warning.severity.label, error.severity.label) == ("warning", "error")
    assert (warning.id, warning.onset_step) == (error.id, error.onset_step)
    assert error.fired_step == warning.fired_step
    assert error.fired == {**warning.fired, "error": error.fired["error"]}


def test_nan_explains_what_comes_after_it() -> None:
    log = train_rows([2.0] * 40, grad_norm=1.0, learning_rate=2e-5)
    log += [
        {**row, "step": row["step"] + 40, "loss": 0.0, "grad_norm": math.nan} for row in log[:20]
    ]
    report = sftdiag.analyze({"log_history": log})
    assert report.primary is not None
    assert report.primary.code == "SFT106"
    assert report.verdict == "error"


def test_patterns_that_come_and_go_stay_bounded() -> None:
    log: list[Row] = []
    for _ in range(40):
        for loss in [1.0, *[0.0] * 10]:
            log.append({"step": len(log) + 1, "loss": loss, "grad_norm": loss})
    report = sftdiag.analyze({"log_history": log})
    findings = [finding for finding in report.findings if finding.code == "SFT107"]
    assert len(findings) == len({finding.id for finding in findings}) == MAX_ONSETS


def test_what_was_not_looked_at_is_named() -> None:
    report = sftdiag.analyze({"log_history": healthy()})
    assert set(report.skipped) == {
        "loss-above-chance",
        "repetitive-output",
        "forgetting",
        "unnatural-replies",
    }
    assert "the model has to be asked" in report.skipped["forgetting"]
    assert set(report.ran) >= {"train-loss-flat", "non-finite", "zero-loss", "eval-loss-rising"}
    assert not set(report.ran) & set(report.skipped)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ([{"step": 1, "loss": 1.0}], "too few points"),
        ([{"loss": 1.0}], "no row with a step and a loss has been logged"),
        (
            [{"step": 1, "train_runtime": 1.0, "train_loss": 1.0}],
            "no row with a step and a loss has been logged",
        ),
        (train_rows([0.0] * 100, reward=0.1), "reinforcement-learning"),
        (train_rows([0.5] * 100, **{"rewards/chosen": 0.1}), "preference-training"),
        ([{"step": 1, "eval_loss": 1.0}], "no training loss"),
    ],
)
def test_what_cannot_be_judged_is_said(log: list[Row], reason: str) -> None:
    report = sftdiag.analyze({"log_history": log})
    assert report.verdict == "inconclusive"
    assert reason in (report.reason or "")
    assert all(finding.severity.label == "info" for finding in report.findings)


def test_a_flat_loss_without_a_sign_is_neither_healthy_nor_sick() -> None:
    log = train_rows([1.2, 1.21, 1.19] * 30, learning_rate=2e-5, grad_norm=1.0)
    report = sftdiag.analyze({"log_history": log})
    assert report.verdict == "inconclusive"
    assert "too little to show learning" in (report.reason or "")


def test_ignored_codes_are_left_out_and_said_so() -> None:
    settings = Settings(ignore=frozenset({"SFT201"}))
    monitor = Monitor(settings=settings)
    for row in overfitting():
        assert monitor.feed_entry(row) == ()
    report = monitor.report()
    assert all(finding.severity.label == "info" for finding in report.findings)
    assert "left out" in report.skipped["eval-loss-rising"]


def test_the_context_beside_a_log_is_read(tmp_path: Path) -> None:
    path = write_state(
        tmp_path / "run" / "trainer_state.json", train_rows([4.2] * 60, learning_rate=1e-4)
    )
    assert sftdiag.analyze(path).findings == ()
    (tmp_path / "run" / "config.json").write_text(
        json.dumps({"vocab_size": 64, "dtype": "float16"})
    )
    (finding,) = sftdiag.analyze(path).findings
    assert finding.code == "SFT101"
    assert finding.evidence["chance_loss"] == pytest.approx(math.log(64))
    (other,) = sftdiag.analyze(path, context=RunContext(vocab_size=60)).findings
    assert other.evidence["chance_loss"] == pytest.approx(math.log(60))


def test_a_grpo_log_with_zero_and_negative_losses() -> None:
    losses = [0.0] * 20 + [-1e-3] * 40
    rows = train_rows(losses, reward=0.1, grad_norm=0.1)
    for row in rows:
        row["epoch"] = row["step"] / 20
    rows.append({"step": 60, "eval_loss": 0.0, "epoch": 3.0})
    assert fired(rows) == [("policy-loss-zero", "info", 5)]


def test_a_resume_with_other_settings_ends_what_was_seen() -> None:
    """Older findings are over for that reason, and what comes is judged by itself."""
    monitor = Monitor()
    for row in overfitting():
        monitor.feed_entry(row)
    (before,) = monitor.report().findings
    monitor.resume(Segment(200, RunContext(learning_rate=1e-5), {"learning_rate": (2e-5, 1e-5)}))
    for row in healthy():
        assert monitor.feed_entry({**row, "step": row["step"] + 200}) == ()
    report = monitor.report()
    (after,) = report.findings
    assert (after.id, after.onset_step, after.fired) == (before.id, before.onset_step, before.fired)
    assert after.resolved_step == 200
    assert after.resolved_because == (
        "the run was resumed after step 200 with other settings: learning_rate 2e-05 -> 1e-05"
    )
    assert report.verdict == "healthy"
    assert (report.summary.first_step, report.summary.last_step) == (1, 400)
    assert report.summary.records == 420
    assert report.curves[0].steps[-1] == 400
    assert monitor.best_evaluation() == ("eval_loss", monitor.signals.evaluations["eval_loss"][-1])


def test_a_detector_that_fails_is_off_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(EvalLossRisingDetector, "update", broken)
    faults: list[str] = []
    monitor = Monitor(on_fault=lambda name, fault: faults.append(f"{name} {fault!r}"))
    for row in [*overfitting(), *({"step": step, "loss": math.nan} for step in range(201, 205))]:
        monitor.feed_entry(row)
    report = monitor.report()
    assert faults == ["eval-loss-rising ZeroDivisionError()"]
    assert [finding.code for finding in report.findings] == ["SFT106"]
    assert "failed inside sftdiag (ZeroDivisionError)" in report.skipped["eval-loss-rising"]
    with pytest.raises(ZeroDivisionError):
        feed(overfitting())


def test_a_finding_that_cannot_be_told_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    original = diagnosis.diagnose

    def broken(detection: Detection, *rest: Any) -> Finding:
        if detection.code == "SFT201":
            raise KeyError("text")
        return original(detection, *rest)

    monkeypatch.setattr(diagnosis, "diagnose", broken)
    faults: list[str] = []
    monitor = Monitor(on_fault=lambda name, fault: faults.append(name))
    for row in [*overfitting(), *({"step": step, "loss": math.nan} for step in range(201, 205))]:
        monitor.feed_entry(row)
    assert [finding.code for finding in monitor.report().findings] == ["SFT106"]
    assert set(faults) == {"eval-loss-rising"}


@pytest.mark.parametrize("every", [1, 5, 10, 50])
def test_a_smooth_fall_at_a_rate_beyond_every_range_is_not_healthy(every: int) -> None:
    """A tiny model at thirty times its rate: the loss falls to 1.3, not to 0.2."""
    rows = [{**row, "step": every * row["step"]} for row in healthy()]
    for row in rows:
        row["learning_rate"] = 0.09
    verdicts = {}
    for name, context in {
        "unknown": RunContext(),
        "adam": RunContext(optim="adamw_torch_fused", method="full"),
        "sgd": RunContext(optim="sgd"),
        "vectors": RunContext(method="prompt-tuning"),
    }.items():
        monitor = Monitor(context)
        for row in rows:
            monitor.feed_entry(row)
        report = monitor.report()
        verdicts[name] = report.verdict
        assert report.verdict == "healthy" or "0.09" in (report.reason or "")
    expected = {"unknown": "inconclusive", "adam": "inconclusive"}
    assert verdicts == {**expected, "sgd": "healthy", "vectors": "healthy"}


def test_a_log_of_rewards_without_a_loss_says_what_it_is() -> None:
    monitor = Monitor()
    for step in range(1, 20):
        monitor.feed_entry({"step": step, "objective/kl": 0.1, "loss/policy_avg": 0.2, "lr": 1e-6})
    report = monitor.report()
    assert (report.verdict, report.summary.records) == ("inconclusive", 0)
    assert "reinforcement-learning" in (report.reason or "")


def test_rows_that_go_back_are_the_reason_where_few_are_left() -> None:
    ordered = train_rows([3.0 - 0.02 * step for step in range(40)], learning_rate=2e-5)
    monitor = Monitor()
    for row in sorted(ordered, key=lambda row: -row["step"]):
        monitor.feed_entry(row)
    report = monitor.report()
    assert report.verdict == "inconclusive"
    assert "the log goes back" in (report.reason or "")
    assert "of 40 rows" in (report.reason or "")
    assert "goes back" in report.skipped["learning-rate-restarted"]


@pytest.mark.parametrize("step", [50, 52])
def test_a_bare_train_loss_at_the_end_is_the_mean_of_the_run(step: int) -> None:
    """As in a log whose rows were kept without train_runtime; of a log of its own it is a row."""
    rows = [{"step": 5 * i, "loss": 4.0 * 0.9**i} for i in range(1, 11)]
    closing = {"step": step, "train_loss": 2.4, "epoch": 1.0}
    monitor = Monitor()
    for row in [*rows, closing]:
        monitor.feed_entry(row)
    assert monitor.signals.last_train_step == 50
    assert course_of("log", [*rows, closing], RunContext()).loss[-1] == (50, rows[-1]["loss"])
    other = Monitor()
    for row in rows:
        other.feed_entry({"step": row["step"], "train_loss": row["loss"]})
    assert other.signals.last_train_step == 50


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ([12.06 - 0.05 * n for n in range(10)], "inconclusive"),
        ([11.5 - 0.5 * n for n in range(10)], "healthy"),
        ([5.4 - 0.05 * n for n in range(10)], "healthy"),
    ],
    ids=["near a blind guess", "from scratch", "usual"],
)
def test_a_loss_that_fell_a_little_from_a_blind_guess_is_not_healthy(
    losses: list[float], verdict: str
) -> None:
    """What it learned in few steps says nothing of labels, template and weights."""
    report = sftdiag.analyze({"log_history": train_rows(losses)})
    assert (report.verdict, report.findings) == (verdict, ())
    assert (report.reason is None) == (verdict == "healthy")


@pytest.mark.parametrize("row", [{"loss": 0.0}, {"loss": 0.0, "grad_norm": "nan"}, {"loss": "nan"}])
def test_a_log_of_nothing_but_zeros_says_so_before_it_is_settled(row: Row) -> None:
    report = sftdiag.analyze({"log_history": [{"step": 10, **row}]})
    assert (report.verdict, report.findings) == ("inconclusive", ())
    assert "other than 0 or NaN" in (report.reason or "")
