"""Resuming: the findings of the unbroken run, and what other settings end."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra trainer")

from drive import Drive
from logs import Row, healthy, overfitting, write_state

import sftdiag
from sftdiag.findings import Report, Status
from sftdiag.sources import journal

ROWS = overfitting(rise=0.02)
AT = 160
DONE, AHEAD = [r for r in ROWS if r["step"] <= AT], [r for r in ROWS if r["step"] > AT]


def watch(folder: Path, **arguments: Any) -> Drive:
    callback = sftdiag.DiagnosticsCallback(stop_on="error", raise_on="error")
    return Drive(folder, callback, max_steps=200, **arguments)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "sftdiag"]


def unbroken(folder: Path) -> Report:
    drive = Drive(folder, sftdiag.DiagnosticsCallback(), max_steps=200)
    drive.run(ROWS)
    return drive.callback.report


def first_part(folder: Path, *, watched: bool = True, **arguments: Any) -> None:
    """Train to the checkpoint and a bit further, and be killed."""
    if watched:
        drive = Drive(folder, sftdiag.DiagnosticsCallback(), max_steps=200, **arguments)
        drive.begin()
        for row in ROWS[: len(DONE) + 5]:
            drive.log(row)


@pytest.mark.parametrize("watched", [True, False])
def test_a_resumed_run_has_the_findings_of_the_unbroken_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, watched: bool
) -> None:
    """Also where the checkpoint was made without the callback; nothing old is told or acted on."""
    whole = unbroken(tmp_path / "whole")
    first_part(tmp_path / "run", watched=watched)
    caplog.clear()
    caplog.set_level(logging.INFO)
    drive = watch(tmp_path / "run")
    drive.begin(DONE)
    assert told(caplog) == []
    assert drive.callback.report.findings[0].id == whole.findings[0].id
    drive.go_on(AHEAD)
    assert not drive.control.should_training_stop
    assert drive.callback.report.to_dict() == whole.to_dict()
    assert told(caplog) == ["error · SFT201 eval-loss-rising"]


def test_a_killed_run_loses_no_finding(tmp_path: Path) -> None:
    first_part(tmp_path)
    kept = [e["finding"]["id"] for e in journal.read(str(tmp_path)) if e["event"] == "fired"]
    assert kept == ["SFT201@100"]
    assert journal.read(str(tmp_path))[-1]["event"] != "end"


OTHER = {"learning_rate": 1e-6}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (OTHER, "learning_rate 5e-05 -> 1e-06"),
        ({"per_device_train_batch_size": 4}, "effective_batch_size 8 -> 4"),
        ({"gradient_accumulation_steps": 3}, "effective_batch_size 8 -> 24"),
    ],
)
def test_other_settings_end_what_was_seen(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    first_part(tmp_path)
    drive = watch(tmp_path, **changed)
    drive.begin(DONE)
    (old,) = drive.callback.report.findings
    assert old.resolved_step == AT
    assert old.resolved_because == (
        f"the run was resumed after step {AT} with other settings: {said}"
    )
    drive.go_on({**row, "step": row["step"] + AT} for row in healthy(40, 10))
    assert [finding.id for finding in drive.callback.report.findings] == [old.id]
    assert journal.read(str(tmp_path))[-2]["changed"].keys() == {said.split()[0]}


@pytest.mark.parametrize("other", [False, True])
def test_other_rows_of_the_same_number_end_what_was_seen(tmp_path: Path, other: bool) -> None:
    rows = [{"input_ids": [n, 5, 7], "labels": [n, 5, 7]} for n in range(100)]
    first_part(tmp_path, dataset=rows)
    resumed = [{**row, "labels": [-100, 5, 7]} for row in rows] if other else list(rows)
    drive = watch(tmp_path, dataset=resumed)
    drive.begin(DONE)
    (old,) = (f for f in drive.callback.report.findings if f.code == "SFT201")
    if other:
        assert old.resolved_step == AT
        assert (old.resolved_because or "").endswith("with other settings: other training rows")
    else:
        assert old.resolved_step is None


def test_the_same_batch_on_other_devices_is_no_change(tmp_path: Path) -> None:
    first_part(tmp_path)
    drive = watch(tmp_path, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    drive.begin(DONE)
    assert drive.callback.report.findings[0].resolved_step is None


def test_a_second_resume_remembers_the_first(tmp_path: Path) -> None:
    """And one from before the change takes it back."""
    first_part(tmp_path)
    rows: list[Row] = [{**row, "step": row["step"] + AT} for row in healthy(40, 10)]
    drive = watch(tmp_path, **OTHER)
    drive.begin(DONE)
    for row in rows:
        drive.log(row)
    again = watch(tmp_path, **OTHER)
    again.begin([*DONE, *rows])
    assert again.callback.report.to_dict() == drive.callback.report.to_dict()
    write_state(tmp_path / "trainer_state.json", [*DONE, *rows], max_steps=200)
    offline = sftdiag.analyze(tmp_path).replace(source="live")
    assert offline.to_dict() == drive.callback.report.to_dict()
    back = watch(tmp_path)
    back.begin(DONE[:-10])
    assert back.callback.report.findings[0].resolved_step is None


@pytest.mark.parametrize("new_folder", [False, True])
def test_after_the_folder_moved(tmp_path: Path, new_folder: bool) -> None:
    """The folder was renamed; or the run goes on from its checkpoint in a folder of its own."""
    first_part(tmp_path / "old")
    shutil.move(tmp_path / "old", tmp_path / "new")
    arguments: dict[str, Any] = dict(OTHER)
    if new_folder:
        arguments["resume_from_checkpoint"] = str(tmp_path / "new" / f"checkpoint-{AT}")
    drive = watch(tmp_path / ("other" if new_folder else "new"), **arguments)
    drive.begin(DONE)
    assert drive.callback.report.findings[0].resolved_step == AT


def test_a_spoilt_journal_costs_only_what_it_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first_part(tmp_path)
    path = tmp_path / "_sftdiag" / "findings.jsonl"
    path.write_bytes(b'{"event": "start", "step": "x"}\n\xff\xfe{\n' + path.read_bytes()[:-20])
    drive = watch(tmp_path, **OTHER)
    drive.begin(DONE)
    assert drive.callback.report.findings[0].resolved_step == AT
    drive.go_on([])
    assert [e["event"] for e in journal.read(str(tmp_path))][-2:] == ["start", "end"]
    assert told(caplog)[-1].startswith("cannot judge")


def cut_at_60(folder: Path, **arguments: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Watch a healthy run to its step 60; return its rows up to there and those ahead."""
    rows = healthy(200)
    done, ahead = [r for r in rows if r["step"] <= 60], [r for r in rows if r["step"] > 60]
    first = Drive(folder, sftdiag.DiagnosticsCallback(), max_steps=200, **arguments)
    first.begin()
    for row in done:
        first.log(row)
    return done, ahead


def test_a_resume_that_found_no_state_is_told_before_its_first_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once; and remembered by the next resume and by analyze, where the rate shows nothing."""
    done, ahead = cut_at_60(tmp_path)
    drive = Drive(tmp_path, sftdiag.DiagnosticsCallback(), max_steps=200)
    drive.begin(done, last_epoch=0, optimizer_state={})
    (finding,) = drive.callback.report.findings
    assert (finding.code, finding.onset_step, finding.fired_step) == ("SFT110", 60, 60)
    assert finding.causes[0].status is Status.CONFIRMED
    assert len([text for text in told(caplog) if "SFT110" in text]) == 1
    for row in ahead[:40]:
        drive.log(row)
    half = [*done, *ahead[:40]]
    again = Drive(tmp_path, sftdiag.DiagnosticsCallback(), max_steps=200)
    again.begin(half, last_epoch=half[-1]["step"], optimizer_state={0: "moments"})
    assert again.callback.report.findings == (finding,)
    assert len([text for text in told(caplog) if "SFT110" in text]) == 1
    again.go_on(ahead[40:])
    write_state(tmp_path / "trainer_state.json", [*done, *ahead], max_steps=200)
    assert sftdiag.analyze(tmp_path).findings == (finding,)


@pytest.mark.parametrize(
    ("last_epoch", "state", "changed"),
    [(60, {0: "moments"}, {}), (0, {0: "moments"}, {}), (60, {}, {}), (0, {}, OTHER)],
)
def test_a_resume_with_its_state_or_other_settings_is_quiet(
    tmp_path: Path, last_epoch: int, state: dict[int, str], changed: dict[str, Any]
) -> None:
    """Plain SGD keeps no moments; a rate changed on purpose begins a schedule of its own."""
    done, ahead = cut_at_60(tmp_path)
    drive = Drive(tmp_path, sftdiag.DiagnosticsCallback(), max_steps=200, **changed)
    drive.begin(done, last_epoch=last_epoch, optimizer_state=state)
    drive.go_on(ahead)
    assert drive.callback.report.verdict == "healthy"


LINEAR = {"lr_scheduler_type": "linear"}


def test_a_lost_state_stops_before_the_first_step_and_is_not_acted_on_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A resume of the same step with its state is another run; one from later on remembers."""
    done, ahead = cut_at_60(tmp_path, **LINEAR)
    drive = watch(tmp_path, **LINEAR)
    with pytest.raises(sftdiag.UnhealthyRunError, match="SFT110"):
        drive.begin(done, last_epoch=0, optimizer_state={})
    callback = sftdiag.DiagnosticsCallback(stop_on="error")
    drive = Drive(tmp_path, callback, max_steps=200, **LINEAR)
    drive.begin(done, last_epoch=0, optimizer_state={})
    assert drive.control.should_training_stop
    (finding,) = drive.callback.report.findings
    assert (finding.code, finding.severity.label, finding.fired_step) == ("SFT110", "error", 60)
    assert "at the planned end (step 200)" in finding.message
    drive.end()
    assert any(text.startswith("stopped at step 60 of 200 by SFT110") for text in told(caplog))
    with_state = watch(tmp_path, **LINEAR)
    with_state.begin(done, last_epoch=60, optimizer_state={0: "moments"})
    assert with_state.callback.report.findings == ()
    # Once more without, and on purpose: later resumes neither stop nor tell it again.
    on_purpose = Drive(tmp_path, sftdiag.DiagnosticsCallback(), max_steps=200, **LINEAR)
    on_purpose.begin(done, last_epoch=0, optimizer_state={})
    half = [*done, *ahead[:40]]
    later = watch(tmp_path, **LINEAR)
    later.begin(half, last_epoch=half[-1]["step"] - 60, optimizer_state={0: "moments"})
    assert not later.control.should_training_stop
    assert later.callback.report.findings == (finding,)


@pytest.mark.parametrize("arguments", [{}, {"lr_scheduler_type": "inverse_sqrt"}])
def test_a_lost_state_without_a_planned_decay_only_warns(
    tmp_path: Path, arguments: dict[str, str]
) -> None:
    done, ahead = cut_at_60(tmp_path, **arguments)
    drive = watch(tmp_path, **arguments)
    drive.begin(done, last_epoch=0, optimizer_state={})
    drive.go_on(ahead)
    assert drive.state.global_step == 200
    assert drive.callback.report.verdict == "warning"


def test_a_state_that_lies_elsewhere_is_no_lost_one(tmp_path: Path) -> None:
    """DeepSpeed's own scheduler counts in another attribute, FSDP's optimizer has its state."""
    done, _ = cut_at_60(tmp_path, **LINEAR)
    drive = watch(tmp_path, **LINEAR)
    drive.begin(done, last_epoch=60, optimizer_state={})
    assert drive.callback.report.findings == ()
    for trained in (
        {"lr_scheduler": SimpleNamespace(last_batch_iteration=60), "optimizer": HOLDS_NOTHING},
        {"lr_scheduler": SimpleNamespace(last_epoch=0), "optimizer": SimpleNamespace()},
        {},
    ):
        drive = watch(tmp_path, **LINEAR)
        drive.state.log_history, drive.state.global_step = done, 60
        drive.callback.on_train_begin(drive.args, drive.state, drive.control, **trained)
        assert drive.callback.report.findings == ()


HOLDS_NOTHING = SimpleNamespace(state={})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheduler", "only_model", "attached", "stops"),
    [
        ("linear", True, True, True),
        ("cosine", True, False, True),
        ("linear", False, True, False),
        ("constant", True, True, False),
    ],
)
def test_a_real_trainer_stops_where_its_state_was_lost(
    tmp_path: Path, scheduler: str, only_model: bool, attached: bool, stops: bool
) -> None:
    """At its first step at the latest, with a model as good as the checkpoint's."""
    finetune = pytest.importorskip("finetune", reason="needs the extra trainer")
    torch = pytest.importorskip("torch")
    arguments: dict[str, Any] = {
        "max_steps": 40,
        "logging_steps": 2,
        "eval_strategy": "no",
        "warmup_steps": 4,
        "lr_scheduler_type": scheduler,
        "save_strategy": "steps",
        "save_steps": 20,
        "save_only_model": only_model,
    }
    first = finetune.make_trainer("none", tmp_path, **arguments)
    sftdiag.attach(first, stop_on="error")
    first.train()
    assert first.state.global_step == 40
    checkpoint = tmp_path / "checkpoint-20"
    trainer = finetune.make_trainer("none", tmp_path, **arguments)
    if attached:
        callback = sftdiag.attach(trainer, stop_on="error", save_on_stop=True)
    else:
        callback = sftdiag.DiagnosticsCallback(stop_on="error", save_on_stop=True)
        trainer.add_callback(callback)
    result = trainer.train(resume_from_checkpoint=str(checkpoint))
    found = [f.severity.label for f in callback.report.findings if f.code == "SFT110"]
    assert found == (["error"] if stops else ["warning"] if only_model else [])
    assert result.global_step == trainer.state.global_step
    assert (result.global_step <= 21) if stops else (result.global_step == 40)
    assert all(torch.isfinite(weight).all() for weight in trainer.model.parameters())
    if stops:
        before = type(trainer.model).from_pretrained(checkpoint).state_dict()
        moved = [
            (weight - before[name]).abs().max()
            for name, weight in trainer.model.state_dict().items()
        ]
        assert max(moved) <= 3e-3
        assert not (tmp_path / "checkpoint-21").exists()
