"""What a stop does and says: grace, saving, rotation, and what else may stop a run."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drive import Drive
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Row, healthy, overfitting, train_rows

import sftdiag
from sftdiag.context import RunContext
from sftdiag.live.stopping import Checkpoints
from sftdiag.report import html, text
from sftdiag.signals.course import course_of

transformers = pytest.importorskip("transformers", reason="needs the extra trainer")

FLAT = train_rows([11.3, 11.31, 11.29] * 30, learning_rate=2e-5, grad_norm=1.0)


def stops(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = (record.getMessage() for record in caplog.records)
    return [text for text in said if text.startswith("stopped at step")]


def lost_from(step: int) -> list[Row]:
    """Another shard of rows: loss and evaluation far above the start, accuracy gone."""
    rows: list[Row] = []
    for row in train_rows([3.0 - 0.01 * n if n < step else 4.5 for n in range(1, 121)]):
        gone = row["step"] >= step
        rows.append({**row, "mean_token_accuracy": 0.03 if gone else 0.4, "grad_norm": 1.0})
        if row["step"] % 10 == 2:
            rows.append({"step": row["step"], "eval_loss": 5.0 if gone else 2.5})
    return rows


def nan_from(step: int) -> list[Row]:
    rows = healthy()
    return [
        {**row, "loss": math.nan} if "loss" in row and row["step"] >= step else row for row in rows
    ]


def test_a_stop_says_where_to_go_back_to_and_that_nothing_was_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = sftdiag.DiagnosticsCallback(stop_on="warning")
    drive = Drive(tmp_path, callback, max_steps=3000)
    drive.run(overfitting(), save_every=45)
    assert stops(caplog) == [
        "stopped at step 100 of 3,000 by SFT201 eval-loss-rising; best eval_loss 1.5 at step 60; "
        "nearest checkpoint: checkpoint-45; nothing was saved at the stop"
    ]


@pytest.mark.parametrize(("framework", "told"), [("trl", True), ("ms-swift", False)])
def test_a_stop_says_what_the_command_writes_behind_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, framework: str, told: bool
) -> None:
    """``trl sft`` says "Model saved" of the ruined model."""
    callback = sftdiag.DiagnosticsCallback(stop_on="error")
    callback.known = RunContext(framework=framework)
    Drive(tmp_path, callback, max_steps=3000).run(nan_from(60))
    (text,) = stops(caplog)
    assert ("the model that the command writes at its end is the one of this step" in text) is told


def test_the_command_writes_the_best_model_where_that_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = sftdiag.DiagnosticsCallback(stop_on="error")
    callback.known = RunContext(framework="trl")
    drive = Drive(tmp_path, callback, max_steps=3000)
    drive.args.load_best_model_at_end = True
    drive.state.best_model_checkpoint = str(tmp_path / "checkpoint-40")
    drive.run(nan_from(60))
    assert "the command writes" not in stops(caplog)[0]


def test_in_the_grace_period_nothing_stops(tmp_path: Path) -> None:
    """What is still there at its end then acts; what is over does not."""
    drive = Drive(
        tmp_path / "kept",
        sftdiag.DiagnosticsCallback(stop_on="error", grace_steps=60),
        max_steps=90,
    )
    drive.run(FLAT)
    assert drive.state.global_step == 60
    drive = Drive(tmp_path / "over", sftdiag.DiagnosticsCallback(stop_on="error", grace_steps=60))
    rows = train_rows([1.0, *[0.0] * 10, *[1.0] * 89], grad_norm=0.0)
    drive.run(rows)
    assert [f.code for f in drive.callback.report.findings][:1] == ["SFT107"]
    assert drive.state.global_step == 100
    drive = Drive(tmp_path / "none", sftdiag.DiagnosticsCallback(stop_on="error"))
    drive.run(rows)
    assert drive.state.global_step < 12


@pytest.mark.parametrize("steps", [-1, 0.5, "10", True])
def test_a_grace_that_is_no_step_count_is_refused(steps: Any) -> None:
    with pytest.raises(sftdiag.ConfigError, match="grace_steps must be 0 or more"):
        sftdiag.DiagnosticsCallback(grace_steps=steps)


@pytest.mark.parametrize(
    ("rows", "stop_on", "arguments", "said"),
    [
        (FLAT, "warning", {"save_strategy": "steps"}, "saved checkpoint-15 at the stop"),
        (
            FLAT,
            "warning",
            {"save_strategy": "no"},
            'nothing was saved at the stop: save_strategy is "no"',
        ),
        (overfitting(), "warning", {"save_strategy": "steps"}, "the weights are worse than before"),
        (nan_from(70), "warning", {"save_strategy": "steps"}, "the weights are worse than before"),
        (lost_from(60), "error", {"save_strategy": "steps"}, "the weights are worse than before"),
    ],
)
def test_saving_on_a_stop(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    rows: list[Row],
    stop_on: str,
    arguments: dict[str, Any],
    said: str,
) -> None:
    callback = sftdiag.DiagnosticsCallback(stop_on=stop_on, save_on_stop=True)
    drive = Drive(tmp_path, callback, max_steps=150, **arguments)
    drive.run(rows)
    (stopped,) = stops(caplog)
    assert stopped.endswith(said)
    saved = (tmp_path / f"checkpoint-{drive.state.global_step}").exists()
    assert saved is said.startswith("saved")


def test_a_stop_does_not_save_where_that_deletes_the_best(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Best evaluation at step 5, next to checkpoint-5, the older of the two that are kept."""
    rows: list[Row] = []
    for row in FLAT:
        rows.append(row)
        if row["step"] == 5:
            rows.append({"step": 5, "eval_loss": 11.3})
    for limit, said in ((2, "would have deleted"), (3, "saved checkpoint-15")):
        caplog.clear()
        callback = sftdiag.DiagnosticsCallback(stop_on="error", save_on_stop=True)
        drive = Drive(
            tmp_path / str(limit),
            callback,
            max_steps=150,
            save_strategy="steps",
            save_total_limit=limit,
        )
        drive.begin()
        for row in rows:
            if row["step"] in (6, 13):
                drive.save()
            drive.log(row)
            if drive.control.should_training_stop:
                break
        assert drive.control.should_save is (limit == 3)
        if drive.control.should_save:
            drive.save()
        drive.end()
        assert said in stops(caplog)[0]


class _BreaksDown(transformers.Trainer):
    """Its loss is NaN from the third step of the second epoch on."""

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
        loss = super().compute_loss(model, inputs, *args, **more)
        return loss * math.nan if model.training and self.state.global_step >= 6 else loss


@pytest.mark.parametrize("strategy", ["epoch", "steps"])
@pytest.mark.parametrize(
    ("limit", "best", "left"), [(1, False, {4}), (1, True, {4}), (2, False, {4, 8})]
)
def test_a_stop_never_costs_the_checkpoint_to_go_back_to(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    strategy: str,
    limit: int,
    best: bool,
    left: set[int],
) -> None:
    """The trainer saves at the end of the epoch that a stop cuts short, and rotates."""
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1}
    config = transformers.LlamaConfig(vocab_size=32, num_hidden_layers=1, **shape)
    rows = [{"input_ids": [1, n, 3], "labels": [1, n, 3]} for n in range(4)]
    evaluated = {"eval_strategy": strategy, "eval_steps": 4} if best else {}
    trainer = _BreaksDown(
        transformers.LlamaForCausalLM(config),
        transformers.TrainingArguments(
            str(tmp_path),
            per_device_train_batch_size=1,
            num_train_epochs=5,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy=strategy,
            save_steps=4,
            save_total_limit=limit,
            load_best_model_at_end=best,
            report_to=[],
            use_cpu=True,
            **evaluated,
        ),
        train_dataset=rows,
        eval_dataset=rows if best else None,
    )
    sftdiag.attach(trainer, stop_on="error")
    trainer.train()
    assert trainer.state.global_step == 8
    assert {int(path.name.partition("-")[2]) for path in tmp_path.glob("checkpoint-*")} == left
    (said,) = stops(caplog)
    assert "nearest checkpoint: checkpoint-4;" in said
    assert ("saved checkpoint-8 at the stop" in said) == (8 in left)
    assert ("save_total_limit would have deleted that checkpoint" in said) == (
        limit == 1 and not best
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), max_size=5, unique=True),
    st.integers(1, 30),
    st.sampled_from([None, 0, 1, 2, 3]),
    st.integers(0, 30),
)
def test_checkpoints_are_followed_as_transformers_rotates_them(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], now: int, limit: int, best: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    for step in {*steps, now}:
        (folder / f"checkpoint-{step}").mkdir()
    chosen = best if best in {*steps, now} else None
    path = str(folder / f"checkpoint-{chosen}") if chosen else None
    checkpoints = Checkpoints(steps)
    checkpoints.add(
        SimpleNamespace(save_total_limit=limit),
        SimpleNamespace(global_step=now, best_model_checkpoint=path, best_global_step=chosen),
    )
    transformers.trainer_utils.rotate_checkpoints(str(folder), limit, path)
    left = sorted(int(entry.name.partition("-")[2]) for entry in folder.iterdir())
    assert checkpoints.steps == left


def test_a_run_that_another_callback_stops_is_not_claimed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    drive = Drive(tmp_path, sftdiag.DiagnosticsCallback(stop_on="error"))
    drive.begin()
    for row in healthy()[:100]:
        drive.log(row)
    drive.control.should_training_stop = True
    drive.end()
    assert stops(caplog) == []


def test_raising_tells_everything_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    callback = sftdiag.DiagnosticsCallback(raise_on="error")
    drive = Drive(tmp_path, callback, max_steps=90)
    with pytest.raises(sftdiag.UnhealthyRunError, match="SFT101"):
        drive.run(FLAT)
    events = [event["event"] for event in sftdiag.sources.journal.read(str(tmp_path))]
    assert events == ["start", "fired", "end"]
    assert caplog.records[-1].getMessage() == "error · SFT101 train-loss-flat"


def blown_up_from(step: int) -> list[Row]:
    """A loss that leaps for good; what is evaluated is worse than anything before it."""
    rows: list[Row] = []
    for row in train_rows([3.0 - 0.01 * n if n < step else 60.0 for n in range(1, 121)]):
        rows.append({**row, "grad_norm": 1.0})
        if row["step"] % 20 == 0:
            sound = 3.0 - 0.01 * row["step"]
            rows.append({"step": row["step"], "eval_loss": sound if row["step"] < step else 7.0})
    return rows


@pytest.mark.parametrize("step", [15, 50])
def test_no_evaluation_or_checkpoint_of_a_blown_up_model_is_the_best(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    callback = sftdiag.DiagnosticsCallback(stop_on="SFT104", grace_steps=90)
    drive = Drive(tmp_path, callback, max_steps=150)
    drive.run(blown_up_from(step), save_every=30)
    (stopped,) = stops(caplog)
    assert "SFT104" in stopped
    if step < 20:
        assert "best" not in stopped.split(";")[1]
        assert "no checkpoint to go back to" in stopped
    else:
        assert "best eval_loss 2.6 at step 40; nearest checkpoint: checkpoint-30" in stopped
    report = callback.report
    assert report.summary.sound_until == step - 1
    course = course_of("run", blown_up_from(step), RunContext())
    assert ("best 2.6" in text.render(report)) is (step > 20)
    assert ("best eval_loss" in html.page(report, course)) is (step > 20)


def test_a_nan_that_passes_spoils_no_evaluation(tmp_path: Path) -> None:
    rows = [
        {**row, "loss": math.nan} if row["step"] % 8 == 3 and "loss" in row else row
        for row in healthy()
    ]
    rows += [{"step": rows[-1]["step"], "eval_loss": 0.5}]
    callback = sftdiag.DiagnosticsCallback()
    Drive(tmp_path, callback, max_steps=150).run(rows)
    assert "SFT106" in [finding.code for finding in callback.report.findings]
    assert callback.report.summary.sound_until is None
