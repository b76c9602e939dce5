"""attach sees every step: what it sees is what logging_steps=1 would have logged."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.findings import Report
from sftdiag.sources import every_step
from sftdiag.trainer import schedules

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

from transformers import TrainerCallback  # noqa: E402

ACCUMULATED: dict[str, Any] = {
    "max_steps": 25,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 3,
    "eval_steps": 12,
    "dropout": 0.1,
}


def make(folder: Path, fault: str = "none", **arguments: Any) -> Any:
    return finetune.make_trainer(fault, folder, **arguments)


def log_of(trainer: Any) -> list[dict[str, Any]]:
    drawn = ("runtime", "per_second")
    return [
        {name: value for name, value in row.items() if not any(part in name for part in drawn)}
        for row in trainer.state.log_history
    ]


def told(report: Report) -> dict[str, Any]:
    """Return what a report says, whether it was made live or from files."""
    return {name: value for name, value in report.to_dict().items() if name != "source"}


def test_steps_are_those_that_the_trainer_would_have_logged(tmp_path: Path) -> None:
    """With accumulation and dropout; the run's own log is the same bit for bit."""
    logs: list[list[dict[str, Any]]] = []
    for name, apart in (("every", 1), ("bare", 10), ("watched", 10)):
        # Made right before it trains: what is drawn then is drawn from where the last one ended.
        trainer = make(tmp_path / name, logging_steps=apart, **ACCUMULATED)
        if name == "watched":
            callback = sftdiag.attach(trainer)
        trainer.train()
        logs.append(log_of(trainer))
    every, bare, watched = logs
    assert watched == bare
    # Nothing of it is left on the trainer.
    assert "training_step" not in vars(trainer)
    assert "clip_grad_norm_" not in vars(trainer.accelerator)
    logged = [row for row in every if "grad_norm" in row]
    seen = every_step.read(str(tmp_path / "watched"))
    assert [step.step for step in seen] == [row["step"] for row in logged] == list(range(1, 26))
    for step, row in zip(seen, logged, strict=True):
        assert step.loss == pytest.approx(row["loss"], rel=1e-6)
        assert step.grad_norm == row["grad_norm"]
        assert step.learning_rate == pytest.approx(row["learning_rate"], rel=1e-6)
        assert step.epoch == pytest.approx(row["epoch"], rel=1e-6)
        assert step.tokens
        assert step.entropy == pytest.approx(row["entropy"], rel=1e-6)
        assert step.mean_token_accuracy == pytest.approx(row["mean_token_accuracy"], rel=1e-6)
    assert callback.report.summary.last_step == 25
    trainer.save_state()
    assert told(sftdiag.analyze(tmp_path / "watched")) == told(callback.report)


def test_a_rate_that_is_a_whole_number(tmp_path: Path) -> None:
    """A YAML's ``learning_rate: 1``, as D-Adaptation and Prodigy take it."""
    arguments = {"learning_rate": 1, "lr_scheduler_type": "constant", "warmup_steps": 0}
    trainer = make(tmp_path, logging_steps=2, max_steps=4, **arguments)
    sftdiag.attach(trainer)
    trainer.train()
    assert {type(row["learning_rate"]) for row in log_of(trainer) if "loss" in row} == {int}
    assert [step.learning_rate for step in every_step.read(str(tmp_path))] == [1.0] * 4


def test_a_rate_that_a_callback_sets_is_known_at_its_step(tmp_path: Path) -> None:
    """The log has the schedule's rate, which is as ever; the optimizer stepped with another."""
    transformers = pytest.importorskip("transformers")

    class Spike(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if 30 <= state.global_step < 33:
                for group in kwargs["optimizer"].param_groups:
                    group["lr"] *= 30

    arguments = {"lr_scheduler_type": "linear", "warmup_steps": 2, "logging_steps": 5}
    trainer = make(tmp_path, max_steps=50, eval_strategy="no", **arguments)
    trainer.add_callback(Spike())
    callback = sftdiag.attach(trainer)
    trainer.train()
    asked = trainer.args.learning_rate
    assert max(row["learning_rate"] for row in log_of(trainer) if "loss" in row) <= asked
    (found,) = (each for each in callback.report.findings if each.code == "SFT116")
    assert (found.severity.label, found.fired_step, found.onset_step) == ("error", 31, 30)
    seen = [step.step for step in every_step.read(str(tmp_path)) if step.learning_rate > asked]
    assert seen == [31, 32, 33]
    trainer.save_state()
    assert told(sftdiag.analyze(tmp_path)) == told(callback.report)


def test_a_loss_of_several_numbers_is_left_to_the_log(tmp_path: Path) -> None:
    trainer = make(tmp_path, max_steps=12, logging_steps=4, eval_strategy="no")
    plain = trainer.training_step
    trainer.training_step = lambda *given: plain(*given).expand(2)
    callback = sftdiag.attach(trainer)
    transformers = pytest.importorskip("transformers")

    class Sums(transformers.TrainerCallback):  # type: ignore[misc]
        """The trainer itself takes no such loss: what is around ours makes one of it."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            ours = trainer.training_step
            trainer.training_step = lambda *given: ours(*given).mean()

    trainer.add_callback(Sums())
    trainer.train()
    assert callback.report.summary.records == 3
    assert callback.steps is not None
    assert callback.steps.off == "no_scalar"
    assert every_step.read(str(tmp_path)) == []


@pytest.mark.parametrize("every", [10, 50])
def test_a_nan_is_known_at_its_step_whatever_logging_steps_is(every: int, tmp_path: Path) -> None:
    """Its onset is exact; the run stops at the log row that follows."""
    trainer = make(tmp_path, "nan-weights", logging_steps=every, eval_strategy="no")
    callback = sftdiag.attach(trainer, stop_on="error")
    trainer.train()
    found = callback.report.primary
    assert found is not None
    assert (found.code, found.onset_step, found.fired_step) == ("SFT106", 61, 62)
    assert trainer.state.global_step == math.ceil(62 / every) * every
    trainer.save_state()
    assert told(sftdiag.analyze(tmp_path)) == told(callback.report)


def test_where_the_log_shows_something_else_the_log_counts(tmp_path: Path) -> None:
    """A trainer that logs ten times its loss is believed, and the report says so."""
    trainer = make(tmp_path, max_steps=20, logging_steps=5, eval_strategy="no")
    log = trainer.log

    def ten_times(logs: dict[str, Any], *args: Any) -> None:
        log({**logs, "loss": 10 * logs["loss"]} if "loss" in logs else logs, *args)

    trainer.log = ten_times
    callback = sftdiag.attach(trainer)
    trainer.train()
    assert callback.report.summary.records == 4
    assert "log rows were judged" in callback.report.skipped["every-step"]
    assert every_step.read(str(tmp_path)) == []
    trainer.save_state()
    assert told(sftdiag.analyze(tmp_path)) == told(callback.report)


def test_a_fault_costs_the_steps_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "rate_of", lambda trainer: lambda: 1 / 0)
    trainer = make(tmp_path, max_steps=20, logging_steps=5, eval_strategy="no")
    callback = sftdiag.attach(trainer)
    trainer.train()
    assert trainer.state.global_step == 20
    assert callback.report.summary.records == 4
    assert "failed inside sftdiag" in callback.report.skipped["every-step"]


def test_a_resume_goes_on_with_the_steps_before_it(tmp_path: Path) -> None:
    """What was done after the checkpoint is done again, and stands there once."""
    chosen = {"logging_steps": 10, "save_strategy": "steps", "save_steps": 15, "eval_steps": 7}
    whole = make(tmp_path / "whole", max_steps=40, **chosen)
    callback = sftdiag.attach(whole)
    whole.train()
    for again_from in (None, "checkpoint-15"):
        trainer = make(tmp_path / "resumed", max_steps=40, **chosen)
        again = sftdiag.attach(trainer)
        saved = str(tmp_path / "resumed" / again_from) if again_from else None
        trainer.train(resume_from_checkpoint=saved)
        assert len(every_step.read(str(tmp_path / "resumed"))) == 40
    one, other = (every_step.read(str(tmp_path / name)) for name in ("whole", "resumed"))
    # The times of the steps differ.
    assert [step._replace(seconds=None) for step in one] == [
        step._replace(seconds=None) for step in other
    ]
    assert again.report.summary == callback.report.summary
    trainer.save_state()
    assert told(sftdiag.analyze(tmp_path / "resumed")) == told(again.report)
    # A checkpoint that is asked for is judged up to its own step.
    folder = tmp_path / "resumed" / "checkpoint-15"
    assert sftdiag.analyze(folder).summary.last_step == 14


KILLED = """
import sys
sys.path.insert(0, {examples!r})
import finetune, sftdiag
trainer = finetune.make_trainer("none", {folder!r}, logging_steps=4, num_train_epochs=90)
sftdiag.attach(trainer)
trainer.train()
"""


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_its_steps(tmp_path: Path) -> None:
    examples = str(Path(finetune.__file__).parent)
    script = KILLED.format(examples=examples, folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 120
        while len(every_step.read(str(tmp_path))) < 40 and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    kept = every_step.read(str(tmp_path))
    assert [step.step for step in kept] == list(range(1, len(kept) + 1))
    assert len(kept) >= 40
    assert all(math.isfinite(step.loss) for step in kept)
    assert sftdiag.analyze(tmp_path).summary.last_step == len(kept)


@pytest.mark.acceptance
@pytest.mark.parametrize("batch", [8, 512])
def test_what_is_kept_is_less_than_a_megabyte(batch: int, tmp_path: Path) -> None:
    """Besides the ring, of steps of any number of rows: here the most of several moments."""
    from benchmarks.speed import alternating

    held: list[int] = []

    class Looks(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step >= 400 and state.global_step % 50 == 0:
                ours = tracemalloc.Filter(True, f"*{os.sep}sftdiag{os.sep}live{os.sep}*")
                taken = tracemalloc.take_snapshot().filter_traces([ours])
                held.append(sum(one.size for one in taken.statistics("filename")))

    model = alternating.llama(512, 64, 64, 1, 8)
    trainer = alternating.llama_trainer(tmp_path, model, batch=batch, steps=600, logging_steps=10)
    sftdiag.attach(trainer, ignore=["SFT4", "SFT5"])
    trainer.add_callback(Looks())
    tracemalloc.start()
    try:
        trainer.train()
    finally:
        tracemalloc.stop()
    assert 0 < max(held) < 2**20
