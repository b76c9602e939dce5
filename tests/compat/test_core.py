"""What must hold with every version of transformers and TRL in the extra's range.

``python -m benchmarks.compat`` runs these in environments with other versions; here they run with
the newest. What a version cannot give is told with its reason, never as a fault of ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.cli.main import main
from sftdiag.live.ring import Ring
from sftdiag.sources import every_step, journal

pytest.importorskip("transformers", reason="needs the extra trainer")
any_version = pytest.importorskip("any_version")

from transformers import AutoModelForCausalLM  # noqa: E402

from sftdiag.live import step_signals  # noqa: E402
from sftdiag.live.ahead import Ahead  # noqa: E402
from sftdiag.trainer.versions import as_saved  # noqa: E402

pytestmark = pytest.mark.slow

ROWS_AFTER = 3
"""Log rows after a fault within which the run must have been stopped."""

BY_ROWS = {
    *("answers-of-other-rows", "answers-untrained", "content-left-out", "duplicate-rows"),
    *("empty-answers", "end-of-turn-untrained", "label-misalignment", "no-supervised-token"),
    *("padding-trained", "prompt-trained", "rows-in-blocks", "template-mismatch"),
    *("train-rows-in-eval", "warmup-share"),
}
"""Checks that can run on the rows and arguments of any version."""


@pytest.fixture(params=any_version.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The trainer that is watched."""
    if request.param == "trl" and not any_version.HAS_TRL:
        pytest.skip("TRL is not installed")
    return str(request.param)


@pytest.fixture(autouse=True)
def nothing_failed_inside(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No part of sftdiag was switched off because a version lacks what it asks for."""
    yield
    records = caplog.get_records("call")
    assert [r for r in records if "please report" in r.getMessage()] == []


def said(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "sftdiag" and r.levelno >= level]


def log_of(trainer: Any) -> list[dict[str, Any]]:
    """Return the rows of the log, without the times in them."""
    drawn = ("runtime", "per_second")
    return [
        {name: value for name, value in row.items() if not any(part in name for part in drawn)}
        for row in trainer.state.log_history
    ]


def told(report: sftdiag.Report) -> dict[str, Any]:
    return report.replace(source="").to_dict()


def losses(trainer: Any) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in trainer.state.log_history if "loss" in row]


def listening(trainer: Any) -> list[list[int]]:
    """Return a list that the rows of each micro-batch are added to, as they are trained on."""
    seen: list[list[int]] = []
    train = trainer.training_step

    def training_step(model: Any, inputs: Any, *args: Any) -> Any:
        pairs = zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True)
        seen.extend([t for t, here in zip(*pair, strict=True) if here] for pair in pairs)
        return train(model, inputs, *args)

    trainer.training_step = training_step
    return seen


def rows_of(trainer: Any, callback: Any, steps: int) -> list[list[int]]:
    """Return the rows that the steps are said to be made of."""
    known = callback.steps.rows_of(range(1, steps + 1))
    assert [each.step for each in known] == list(range(1, steps + 1))
    return [trainer.train_dataset[n]["input_ids"] for each in known for n in each.rows]


def test_a_healthy_run_is_left_alone(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Silent to its end, bit for bit the run without us, with its steps, rows and journal kept."""
    bare = any_version.trainer(kind, tmp_path / "bare", max_steps=60)
    bare.train()
    trainer = any_version.trainer(kind, tmp_path / "run", max_steps=60)
    seen = listening(trainer)
    callback = sftdiag.attach(trainer, stop_on="warning")
    trainer.train()
    trainer.save_state()
    assert log_of(trainer) == log_of(bare)
    assert said(caplog) == []
    report = callback.report
    assert report.verdict == "healthy"
    assert "every-step" not in report.skipped
    folder = tmp_path / "run"
    assert [each["event"] for each in journal.read(str(folder))] == ["start", "end"]
    steps = every_step.read(str(folder))
    assert [step.step for step in steps] == list(range(1, 61))
    means = [(a.loss + b.loss) / 2 for a, b in zip(steps[::2], steps[1::2], strict=True)]
    assert means == pytest.approx([loss for _, loss in losses(trainer)], abs=1e-4)
    assert all(step.grad_norm for step in steps)
    assert rows_of(trainer, callback, 60) == seen
    assert told(sftdiag.analyze(folder)) == told(report)


def test_accumulated_steps_are_those_of_the_log(kind: str, tmp_path: Path) -> None:
    """Whatever a version divides its losses by; or its rows are judged, and that is said."""
    trainer = any_version.trainer(
        kind, tmp_path, max_steps=12, per_device_train_batch_size=4, gradient_accumulation_steps=3
    )
    seen = listening(trainer)
    callback = sftdiag.attach(trainer)
    trainer.train()
    assert callback.report.at_least("warning") == ()
    assert "every-step" not in callback.report.skipped
    assert len(every_step.read(str(tmp_path))) == 12
    assert rows_of(trainer, callback, 12) == seen


def test_a_blow_up_is_stopped(kind: str, tmp_path: Path) -> None:
    trainer = any_version.trainer(kind, tmp_path, learning_rate=3.0, logging_steps=1)
    callback = sftdiag.attach(trainer, stop_on="error")
    trainer.train()
    seen = losses(trainer)
    up = next(at for at, (_, loss) in enumerate(seen) if not loss < 2 * seen[0][1])
    assert len(seen) - 1 - up <= ROWS_AFTER
    assert trainer.state.global_step < 100
    assert callback.report.at_least("error")


@pytest.mark.parametrize("every", [1, 10])
def test_a_nan_is_stopped(kind: str, every: int, tmp_path: Path) -> None:
    """Also where the trainer's own log hides it, as logging_nan_inf_filter does."""
    trainer = any_version.trainer(
        *(kind, tmp_path), logging_steps=every, callbacks=[any_version.BreakWeight(15)]
    )
    callback = sftdiag.attach(trainer, stop_on="error")
    trainer.train()
    assert 15 < trainer.state.global_step <= 15 + ROWS_AFTER * every
    assert callback.report.primary is not None
    assert callback.report.primary.code == "SFT106"


def test_an_overfit_is_named(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = any_version.inputs.rows(32, seed=1, rule=False)
    trainer = any_version.trainer(kind, tmp_path, rows, max_steps=160, learning_rate=8e-3)
    callback = sftdiag.attach(trainer, stop_on={"eval-loss-rising"})
    trainer.train()
    found = callback.report.primary
    assert found is not None
    assert (found.code, found.causes[0].id) == ("SFT201", "overfitting")
    assert any(text.startswith("stopped") and "SFT201" in text for text in said(caplog))


def test_the_checks_run(
    kind: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """On a sound run they find nothing; rows without a label are an error before step 1."""
    report = sftdiag.preflight(any_version.trainer(kind, tmp_path))
    for name, reason in report.skipped.items():
        record_property(f"{kind}: {name}", reason)
    assert report.at_least("warning") == ()
    assert set(report.ran) >= BY_ROWS
    trainer = any_version.trainer(kind, tmp_path, masked=True)
    found = sftdiag.preflight(trainer)
    # Newer versions of TRL drop such rows.
    assert {each.code for each in found.at_least("error")} in ({"SFT401"}, {"SFT403"})


@pytest.mark.skipif(not any_version.HAS_TRL, reason="TRL is not installed")
def test_rows_are_cut_where_the_trainer_cuts_them(tmp_path: Path) -> None:
    """Not where a version names a length and takes tokenized rows as long as they are."""
    trainer = any_version.trainer("trl", tmp_path, longest=22)
    report = sftdiag.preflight(trainer)
    is_cut = max(len(row["input_ids"]) for row in trainer.train_dataset) <= 22
    assert ("answers-truncated" in report.ran) == is_cut
    assert ("SFT408" in [found.code for found in report.findings]) == is_cut


def test_a_callback_alone_sees_what_it_can(tmp_path: Path) -> None:
    """Without attach, from the events' own arguments, by whatever name they have."""
    callback = sftdiag.DiagnosticsCallback(stop_on="error")
    trainer = any_version.trainer("transformers", tmp_path, masked=True, callbacks=[callback])
    trainer.train()
    assert callback.report.primary is not None
    assert callback.report.primary.code == "SFT401"
    assert "prompt-trained" in callback.report.ran


def test_a_resume_goes_on_as_if_nothing_had_been(kind: str, tmp_path: Path) -> None:
    reports = []
    for checkpoint in (None, str(tmp_path / "checkpoint-10")):
        trainer = any_version.trainer(
            kind, tmp_path, max_steps=20, save_strategy="steps", save_steps=10, save_total_limit=2
        )
        callback = sftdiag.attach(trainer)
        trainer.train(resume_from_checkpoint=checkpoint)
        assert trainer.state.global_step == 20
        assert len(every_step.read(str(tmp_path))) == 20
        reports.append(callback.report)
    assert reports[0].summary == reports[1].summary
    assert reports[0].findings == reports[1].findings
    assert reports[0].at_least("warning") == ()


@pytest.mark.parametrize("waits", [True, False])
def test_a_guard_keeps_a_bad_step_out(
    kind: str, waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it waits for, and by what a device that computes by itself brings it ahead."""
    came = []
    if not waits:
        numbers = Ahead.numbers

        def noted(self: Ahead, norm: Any) -> list[float] | None:
            values = numbers(self, norm)
            came.append(values is not None)
            return values

        monkeypatch.setattr(Ahead, "numbers", noted)
        monkeypatch.setattr(step_signals, "ring_of", lambda device, least: Ring(4096, device))
    trainer = any_version.trainer(kind, tmp_path, max_steps=12)
    callback = sftdiag.attach(trainer, guard=True)
    train, calls = trainer.training_step, []

    def training_step(*args: Any) -> Any:
        calls.append(1)
        loss = train(*args)
        if len(calls) == 8:
            for parameter in trainer.model.parameters():
                parameter.grad.fill_(float("nan"))
        return loss

    trainer.training_step = training_step
    trainer.train()
    (found,) = [each for each in callback.report.findings if each.code[3] == "1"]
    assert (found.code, found.onset_step) == ("SFT113", 8)
    assert came == ([] if waits else [False, *[True] * 11])
    assert all(bool(each.isfinite().all()) for each in trainer.model.parameters())


def test_the_model_is_asked(kind: str, tmp_path: Path) -> None:
    trainer = any_version.trainer(kind, tmp_path, max_steps=20)
    # Time enough on a machine that is busy.
    asked = sftdiag.Probes(["repetitive-output", "unnatural-replies"], seconds=60)
    callback = sftdiag.attach(trainer, probes=asked)
    trainer.train()
    assert {"repetitive-output", "unnatural-replies"} <= set(callback.report.ran)


def test_a_finished_model_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Loaded from its folder, in the dtype that it was saved in."""
    trainer = any_version.trainer("transformers", tmp_path, max_steps=4)
    trainer.model.bfloat16().save_pretrained(tmp_path / "saved")
    trainer.processing_class.save_pretrained(tmp_path / "saved")
    rows = any_version.inputs.rows(16, **any_version.HELD_OUT)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    capsys.readouterr()
    asked = ["probe", str(tmp_path / "saved"), "--prompts", str(prompts), "--format", "json"]
    assert main(asked) in (0, 1)
    (told,) = json.loads(capsys.readouterr().out)["reports"]
    assert "repetitive-output" in told["checks"]["ran"], told["checks"]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", **as_saved())
    assert str(loaded.dtype) == "torch.bfloat16"


def test_a_smoke_test_leaves_no_trace(kind: str, tmp_path: Path) -> None:
    trainer = any_version.trainer(kind, tmp_path)
    before = [each.detach().clone() for each in trainer.model.parameters()]
    outcome = sftdiag.smoke_test(trainer, steps=30)
    assert outcome.go
    assert all(
        bool((a == b).all()) for a, b in zip(before, trainer.model.parameters(), strict=True)
    )


@pytest.mark.skipif(not any_version.HAS_PEFT, reason="peft is not installed")
def test_an_adapter_is_known(kind: str, tmp_path: Path) -> None:
    trainer = any_version.trainer(kind, tmp_path, peft=True, max_steps=30)
    callback = sftdiag.attach(trainer)
    trainer.train()
    assert callback.known.method in (None, "lora")
    assert {"lora-rank", "lora-target-modules", "outside-the-optimizer"} & set(callback.report.ran)
    assert callback.report.at_least("warning") == ()
