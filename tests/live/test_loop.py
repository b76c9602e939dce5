"""Loop: a loop of one's own under watch, by the numbers that it logs."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import logs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from receiver import Receiver

import sftdiag
from sftdiag.sources import open_run

LOGS: dict[str, list[dict[str, Any]]] = {
    "healthy": logs.healthy(),
    "overfitting": logs.overfitting(),
    "nan": logs.train_rows([*(logs.decay(s, 60) for s in range(1, 60)), *[math.nan] * 10]),
    "blown up": logs.train_rows(
        [*(logs.decay(s, 60) for s in range(1, 60)), *(3.0 * 2**n for n in range(20))]
    ),
    "zero": logs.train_rows([0.0] * 20, grad_norm=0.0),
}


def train(run: sftdiag.Loop, rows: Iterable[Mapping[str, Any]]) -> int | None:
    """Log rows as a loop does; return the step at which it was asked to stop."""
    with run:
        for row in rows:
            run.log(row)
            if run.should_stop:
                return int(row["step"])
    return None


def told(report: sftdiag.Report) -> dict[str, Any]:
    """Return a report without where its rows came from."""
    return {name: v for name, v in report.to_dict().items() if name not in ("source", "log")}


@pytest.mark.parametrize("name", LOGS)
def test_it_says_what_analyze_says_of_its_folder(name: str, tmp_path: Path) -> None:
    run = sftdiag.Loop(tmp_path, context=sftdiag.RunContext(max_steps=1000, learning_rate=2e-5))
    train(run, LOGS[name])
    report = sftdiag.analyze(tmp_path)
    assert told(report) == told(run.report)
    assert (report.verdict == "healthy") == (name == "healthy")
    events = [json.loads(line) for line in journal(tmp_path)]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    fired = {event["finding"]["id"] for event in events if event["event"] == "fired"}
    assert fired == {finding.id for finding in report.findings}


def journal(folder: Path) -> list[str]:
    return (folder / "_sftdiag" / "findings.jsonl").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("name", "fault"), [("healthy", None), ("nan", 60), ("blown up", 60), ("zero", 1)]
)
def test_a_blow_up_is_stopped_within_three_rows(name: str, fault: int | None) -> None:
    stopped = train(sftdiag.Loop(stop_on="error"), LOGS[name])
    if fault is None:
        assert stopped is None
    elif name == "blown up":
        # A loss that doubles is above its start from the second row on.
        assert stopped is not None
        assert fault <= stopped <= fault + 4
    else:
        assert stopped is not None
        assert fault <= stopped <= fault + 2


def test_other_names_and_kinds_of_numbers_are_the_same_run(tmp_path: Path) -> None:
    numpy, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    rows = LOGS["overfitting"]
    plain = sftdiag.Loop(tmp_path / "plain")
    train(plain, rows)
    with sftdiag.Loop(tmp_path / "other", columns={"grad_norm": "norm"}) as other:
        for row in rows:
            named = {
                {"loss": "train/loss", "eval_loss": "val_loss", "grad_norm": "norm"}.get(n, n): v
                for n, v in row.items()
                if n not in ("step", "learning_rate")
            }
            kinds = {n: numpy.float64(v) for n, v in named.items()}
            if "train/loss" in kinds:
                weight = torch.tensor(row["loss"], dtype=torch.float64, requires_grad=True)
                kinds |= {"train/loss": weight, "lr": numpy.array([row["learning_rate"]])}
            other.log(kinds, step=torch.tensor(row["step"]), note="text", none=None)
    assert told(other.report) == told(plain.report)
    assert told(sftdiag.analyze(tmp_path / "other")) == told(plain.report)


def test_rows_without_a_step_are_counted(tmp_path: Path) -> None:
    with sftdiag.Loop(tmp_path) as run:
        for _ in range(3):
            run.log(loss=2.0)
        run.log(val_loss=2.1)
        run.log(accuracy=0.5)
        run.log(loss=1.9)
    rows = [(row["step"], "eval_loss" in row) for row in open_run(tmp_path).entries]
    assert rows == [(1, False), (2, False), (3, False), (3, True), (4, False)]


def test_a_run_that_goes_back_begins_again(tmp_path: Path) -> None:
    with sftdiag.Loop(tmp_path) as run:
        for row in [*LOGS["nan"], *LOGS["healthy"]]:
            run.log(row)
    assert run.report.verdict == "healthy"
    assert told(sftdiag.analyze(tmp_path)) == told(run.report)


def test_a_resumed_run_goes_on_and_a_new_one_begins_anew(tmp_path: Path) -> None:
    rows = LOGS["overfitting"]
    half = [row for row in rows if row["step"] <= 100]
    train(sftdiag.Loop(tmp_path), half)
    resumed = sftdiag.Loop(tmp_path, start_step=100, stop_on="info")
    with resumed:
        # What is replayed acts on nothing.
        assert not resumed.should_stop
        assert resumed.report.summary.last_step == 100
        for row in rows[len(half) :]:
            resumed.log(row)
    whole = sftdiag.Loop()
    train(whole, rows)
    assert [f.id for f in resumed.report.findings] == [f.id for f in whole.report.findings]
    assert told(sftdiag.analyze(tmp_path)) == told(resumed.report)
    train(sftdiag.Loop(tmp_path), half[:10])
    assert sftdiag.analyze(tmp_path).summary.last_step == 10


def test_what_becomes_known_counts(tmp_path: Path) -> None:
    with sftdiag.Loop(tmp_path) as run:
        run.log(step=1, loss=3.0, total_steps=500)
        run.learn(vocab_size=512)
    known = sftdiag.analyze(tmp_path).summary
    assert known.max_steps == run.report.summary.max_steps == 500
    assert open_run(tmp_path).context.vocab_size == 512


def test_a_stop_says_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sftdiag"):
        train(sftdiag.Loop(stop_on="error"), LOGS["nan"])
    (line,) = [r.message for r in caplog.records if r.message.startswith("stopped")]
    assert line == "stopped at step 61 by SFT106 non-finite"


def test_a_loop_that_does_not_stop_is_not_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sftdiag"), sftdiag.Loop(stop_on="error") as run:
        for row in LOGS["nan"]:
            run.log(row)
        assert run.should_stop
    assert not [r for r in caplog.records if r.message.startswith("stopped")]


def test_what_is_gone_through_ends_with_a_stop_and_takes_nothing_more() -> None:
    """An inner loop and those around it; ``break`` ends one alone."""
    rows = LOGS["nan"]
    batches = iter(rows)
    begun = []
    with sftdiag.Loop(stop_on="error") as run:
        for epoch in run.until_stop(range(3)):
            begun.append(epoch)
            for row in run.until_stop(batches):
                run.log(row)
        assert list(run.until_stop("abc")) == []
    assert begun == [0]
    assert (run.should_stop, row["step"]) == (True, 61)
    assert next(batches) == rows[rows.index(row) + 1]


def test_without_a_stop_all_is_gone_through_as_often_as_it_can_be() -> None:
    with sftdiag.Loop() as run:
        for row in run.until_stop(LOGS["nan"]):
            run.log(row)
    assert row == LOGS["nan"][-1]
    again = run.until_stop([1, 2, 3])
    assert [*again, *again] == [1, 2, 3] * 2
    assert len(again) == 3
    with pytest.raises(TypeError, match="no len"):
        len(run.until_stop(iter([1])))
    with pytest.raises(TypeError, match="not iterable"):
        list(run.until_stop(3))  # type: ignore[arg-type]


def test_raise_on_raises_and_nothing_else_does() -> None:
    with pytest.raises(sftdiag.UnhealthyRunError, match="SFT106"):
        train(sftdiag.Loop(raise_on="error"), LOGS["nan"])
    with pytest.raises(sftdiag.ConfigError):
        sftdiag.Loop(stop_on="eror")
    with pytest.raises(ZeroDivisionError), sftdiag.Loop() as run:
        run.log(step=1 / 0)


def test_grace_steps_and_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTDIAG_STOP_ON", "SFT106")
    monkeypatch.setenv("SFTDIAG_GRACE_STEPS", "65")
    assert train(sftdiag.Loop(), LOGS["nan"]) == 65
    monkeypatch.setenv("SFTDIAG_DISABLE", "1")
    run = sftdiag.Loop()
    assert train(run, LOGS["nan"]) is None
    assert run.report.verdict == "inconclusive"


def test_other_ranks_write_and_say_nothing(tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "sftdiag"):
        stopped = train(sftdiag.Loop(tmp_path, stop_on="error", rank=1), LOGS["nan"])
    assert stopped == 61
    assert not list(tmp_path.iterdir())
    assert not caplog.records


def test_the_webhook_gets_alerts(tmp_path: Path) -> None:
    post = Receiver()
    train(sftdiag.Loop(tmp_path, webhook=post.url), LOGS["nan"])
    assert any("SFT106" in json.dumps(body) for body in post.got)


def test_what_is_no_number_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    numpy = pytest.importorskip("numpy")
    with caplog.at_level(logging.WARNING, "sftdiag"), sftdiag.Loop() as run:
        for step in range(5):
            run.log([step])  # type: ignore[arg-type]
            run.log(step=step, loss=numpy.ones(4), lr="fast", comment="text")
    assert [record.message for record in caplog.records] == [
        "log() takes numbers by name, got list",
        "loss is no single number but ndarray of shape (4,), and is not looked at",
        "lr is no single number but str, and is not looked at",
    ]


def test_a_folder_that_takes_nothing_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "_sftdiag").write_text("in the way")
    run = sftdiag.Loop(tmp_path, stop_on="error")
    assert train(run, LOGS["nan"]) == 61


def test_a_fault_of_ours_costs_the_part_it_happened_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(sftdiag.Monitor, "feed_entry", broken)
    with caplog.at_level(logging.ERROR, "sftdiag"):
        run = sftdiag.Loop(stop_on="error")
        assert train(run, LOGS["nan"]) is None
    # Not healthy: what could not be seen is no good sign.
    assert (run.report.verdict, "broken" in str(run.report.reason)) == ("inconclusive", True)
    assert [record.message.partition(" inside")[0] for record in caplog.records] == ["log failed"]


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(),
    st.text(max_size=5),
    st.complex_numbers(),
    st.lists(st.floats(), max_size=2),
    st.just(object()),
)
NAMES = st.sampled_from(
    ["loss", "lr", "step", "epoch", "eval_loss", "train_loss", "grad_norm", "a/b", "total_steps"]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(ODD, st.dictionaries(NAMES, ODD, max_size=5)), max_size=12))
def test_nothing_that_is_logged_raises(caplog: Any, calls: list[tuple[Any, Any]]) -> None:
    caplog.clear()
    with sftdiag.Loop(stop_on="warning") as run:
        for step, metrics in calls:
            before = dict(metrics)
            run.log(metrics, step=step)
            assert list(metrics) == list(before)
            assert all(metrics[name] is before[name] for name in before)
    assert run.report.verdict
    assert not [r for r in caplog.records if "failed inside" in r.message]


def test_it_loads_no_library_and_needs_none(tmp_path: Path) -> None:
    """Not one of the training libraries, nor tqdm, which is no dependency either."""
    absent = ("torch", "transformers", "numpy", "tqdm", "accelerate", "jax", "lightning")
    code = (
        f"import sys\nfor name in {absent}: sys.modules[name] = None\n"
        "import sftdiag\n"
        f"with sftdiag.Loop({str(tmp_path)!r}, stop_on='error') as run:\n"
        "    for step in range(9):\n"
        "        run.log(step=step, loss=float('nan'))\n"
        "        if run.should_stop: break\n"
        "print(step)\n"
    )
    clean = {name: v for name, v in os.environ.items() if not name.startswith("SFTDIAG")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean
    )
    assert done.stdout == "1\n"
    assert "sftdiag: stopped at step 1 by SFT106 non-finite" in done.stderr


def guarded(folder: Path | None, bad: dict[int, float], **options: Any) -> tuple[Any, list[int]]:
    """Run a loop of 60 steps that asks its guard; return it and the steps that it made."""
    made = []
    with sftdiag.Loop(folder, context=sftdiag.RunContext(max_steps=60), **options) as run:
        for step in range(1, 61):
            loss, rows = bad.get(step, logs.decay(step, 60)), range(step * 4, step * 4 + 4)
            if run.skip(step=step, loss=loss, grad_norm=1.0, lr=1e-4, rows=rows):
                if run.should_stop:
                    break
                continue
            made.append(step)
            run.log(step=step, loss=loss, grad_norm=1.0, lr=1e-4)
    return run, made


def test_a_guard_tells_the_step_that_is_bad(tmp_path: Path) -> None:
    run, made = guarded(tmp_path, {45: math.nan}, guard=True)
    assert made == [step for step in range(1, 61) if step != 45]
    (found,) = run.report.findings
    assert (found.code, found.onset_step) == ("SFT113", 45)
    assert [(each.step, each.rows) for each in found.rows] == [(45, (180, 181, 182, 183))]
    assert told(sftdiag.analyze(tmp_path)) == told(run.report)


def test_a_guard_past_its_budget_stops_the_loop(tmp_path: Path) -> None:
    run, made = guarded(tmp_path, dict.fromkeys(range(40, 61), math.inf), guard=True)
    assert made == list(range(1, 40))
    assert run.should_stop
    assert run.report.summary.last_step is not None
    assert json.loads(journal(tmp_path)[-1])["stopped_by"] == "SFT113@40"
    assert told(sftdiag.analyze(tmp_path)) == told(run.report)


def test_without_a_guard_every_step_is_made() -> None:
    assert guarded(None, {45: math.nan})[1] == list(range(1, 61))
    assert guarded(None, {45: math.nan}, guard=sftdiag.Guard(skip="none"))[1] == [*range(1, 61)]
    with pytest.raises(sftdiag.ConfigError, match="puts no weights back"):
        sftdiag.Loop(guard=sftdiag.Guard(rollback=1))


def test_rows_are_named_by_what_they_made(tmp_path: Path) -> None:
    with sftdiag.Loop(tmp_path) as run:
        for row in LOGS["nan"]:
            run.log(row, rows=[row["step"], 1000 + row["step"]])
    assert run.report.primary is not None
    behind = {each.step: each.rows for each in run.report.primary.rows}
    assert behind[60] == (60, 1060)
    assert told(sftdiag.analyze(tmp_path)) == told(run.report)


@pytest.mark.parametrize(
    ("lang", "told"), [("en", "the checkpoint of step 20"), ("zh", "第 20 步的检查点")]
)
def test_fixes_name_the_checkpoint_that_the_loop_told_of(lang: str, told: str) -> None:
    with sftdiag.Loop(stop_on="error", lang=lang) as run:
        for step in run.until_stop(range(1, 60)):
            run.log(step=step, loss=2.0 if step < 30 else math.nan, lr=1e-4)
            if step in (10, 20):
                run.take_checkpoints(range(10, step + 1, 10))
    assert run.report.primary is not None
    fixes = [fix.text for cause in run.report.primary.causes for fix in cause.fixes]
    assert any(told in fix for fix in fixes)


def test_a_step_that_is_none_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    numpy = pytest.importorskip("numpy")
    with caplog.at_level(logging.WARNING, "sftdiag"), sftdiag.Loop(guard=True) as run:
        for odd in ("x", -1, math.nan, numpy.ones(2)):
            run.log(step=odd, loss=2.0)
        run.skip(step="x", loss=2.0)  # type: ignore[arg-type]
        run.skip(step=9, loss="low")
        run.log(step=numpy.int64(7), loss=2.0)
    assert [record.message for record in caplog.records] == [
        "step is no number of steps but str, and is not looked at",
        "loss is no single number but str, and is not looked at",
    ]
    assert run.report.summary.last_step == 7


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ({"enabled": "no"}, "enabled must be true or false, got 'no'"),
        ({"start_step": "x"}, "start_step must be 0 or more, got 'x'"),
        ({"rank": "0"}, "rank must be 0 or more, got '0'"),
        ({"columns": "loss"}, 'columns takes names, such as {"loss": "my/loss"}; got \'loss\''),
        ({"columns": {"los": "nll"}}, "columns: no metric 'los'; expected step, loss"),
        ({"context": {"max_steps": 9}}, "context is a sftdiag.RunContext(...), got dict"),
        (
            {"report_to": "wandbb"},
            "report_to: no tracker 'wandbb'; expected some of mlflow, tensorboard, trackio, wandb, "
            "or 'all' or 'none'; did you mean wandb?",
        ),
        ({"report_to": ["mlflow", "comet_ml"]}, "report_to: no tracker 'comet_ml'; expected some"),
        ({"report_to": [3]}, "report_to: no tracker 3; expected some of mlflow,"),
        ({"report_to": 3}, "report_to takes names of trackers, expected some of mlflow,"),
    ],
)
def test_an_argument_of_another_type_is_refused(argument: dict[str, Any], told: str) -> None:
    with pytest.raises(sftdiag.ConfigError, match=re.escape(told)):
        sftdiag.Loop(**argument)


def test_what_is_learned_and_no_run_has_is_said_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "sftdiag"), sftdiag.Loop() as run:
        run.learn(max_steps="many")
        run.learn(learning_rate="2e-5", max_steps=10)
        run.log(step=1, loss=2.0)
    assert [record.message for record in caplog.records if "learn" in record.message] == [
        "learn(): RunContext: max_steps must be a whole number, got 'many'"
    ]
    assert run.report.summary.max_steps == 10


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_setting_of_the_trainer_is_asked_for(lang: str) -> None:
    with sftdiag.Loop(lang=lang) as run:
        for step in range(1, 5):
            run.log(step=step, loss=2.0)
    told = " ".join(run.report.skipped.values())
    assert "eval_loss" in told
    assert not re.search(r"eval_strategy|logging_steps|DiagnosticsCallback", told)
