"""A run that stands still is told of while it does, and one that slows down afterwards."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from logs import report_of

import sftdiag
from sftdiag.sources import journal

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

from transformers import TrainerCallback  # noqa: E402

from sftdiag.live import watchdog  # noqa: E402


class Sleeps(TrainerCallback):
    """Stands still once, as a save to a slow disk would."""

    def __init__(self, step: int, seconds: float) -> None:
        self.step, self.seconds = step, seconds

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            time.sleep(self.seconds)


def test_a_stall_is_told_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, by a thread of its own; it is over with the next step, and analyze knows nothing."""
    monkeypatch.setattr(watchdog, "LEAST", 1.5)
    monkeypatch.setattr(watchdog, "FACTOR", 1.5)
    trainer = finetune.make_trainer("none", tmp_path, max_steps=20, eval_strategy="no")
    trainer.add_callback(Sleeps(15, 8.0))
    others = set(_alive())
    callback = sftdiag.attach(trainer, stop_on="warning", ignore=["SFT4", "SFT5"])
    with caplog.at_level(logging.INFO, "sftdiag"):
        trainer.train()
    trainer.save_state()
    assert trainer.state.global_step == 20
    (found,) = callback.report.findings
    assert (found.code, found.fired_step, found.resolved_step) == ("SFT114", 15, 16)
    told = [record for record in caplog.records if "SFT114" in record.message]
    assert [record.threadName == "sftdiag-watchdog" for record in told][:1] == [True]
    assert len(told) == 2
    events = [e["event"] for e in journal.read(str(tmp_path)) if "finding" in e]
    assert events == ["fired", "resolved"]
    assert sftdiag.analyze(tmp_path).findings == ()
    assert not any(thread.name == "sftdiag-watchdog" for thread in set(_alive()) - others)


def _alive() -> list[threading.Thread]:
    time.sleep(0.2)
    return [thread for thread in threading.enumerate() if thread.is_alive()]


def test_a_run_that_an_error_ended_is_no_stall() -> None:
    """No trainer's loop is on the thread's stack any more."""
    rows: list[Any] = []
    now = [0.0]
    dog = watchdog.Watchdog(rows.append, lambda: now[0])

    def train() -> None:
        for step in range(20):
            now[0] += 1.0
            dog.beat(step)
        now[0] += 299.0
        dog.look()
        assert rows == []
        now[0] += 2.0
        dog.look()
        dog.look()

    train()
    assert len(rows) == 1
    assert dog.beat(20) == {**rows[0], "step": 20, "stall/over": 1}
    now[0] += 1e6
    dog.look()
    assert len(rows) == 1


def test_the_thread_ends_with_a_run_that_an_error_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LEAST", 0.3)
    dog = watchdog.Watchdog(lambda row: None)
    dog.begin()
    time.sleep(0.2)
    assert not any(thread is dog._thread for thread in _alive())


class Fails(TrainerCallback):
    """Ends a run between two steps, as Ctrl-C in a notebook does."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 6:
            raise KeyboardInterrupt


def wrappers(trainer: Any) -> set[str]:
    """Return what of a trainer and of what it holds is not its own."""
    loader = trainer.callback_handler.train_dataloader
    kept = {name for name in ("training_step",) if name in vars(trainer)}
    kept |= {name for name in ("clip_grad_norm_",) if name in vars(trainer.accelerator)}
    ours = type(loader.batch_sampler).__module__.startswith("sftdiag")
    return kept | ({"sampler"} if ours else set())


@pytest.mark.parametrize("removed", [False, True])
def test_a_trainer_is_left_as_it_was_where_no_event_says_that_it_is(
    removed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error, and where the callback is taken off in the midst of a run."""
    monkeypatch.setattr(watchdog, "LEAST", 1.5)
    trainer = finetune.make_trainer("none", tmp_path, max_steps=30, eval_strategy="no")
    callback = sftdiag.attach(trainer, guard=True)
    if removed:

        class Removes(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == 6:
                    trainer.remove_callback(callback)
                    time.sleep(0.5)

        trainer.add_callback(Removes())
        trainer.train()
    else:
        trainer.add_callback(Fails())
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
        time.sleep(0.5)
    assert wrappers(trainer) == set()
    assert "on_step_end" not in vars(callback)
    assert not any(thread.name == "sftdiag-watchdog" for thread in _alive())
    assert callback.report.summary.last_step is None or callback.report.summary.last_step <= 6


def slow(steps: int, falls_at: int, share: float, **changed: float) -> list[dict[str, Any]]:
    rows = []
    for step in range(1, steps + 1):
        late = step >= falls_at
        seconds = (1.0 + 0.1 * (step % 5)) / (share if late else 1.0)
        row = {"step": step, "loss": 2.0 - 1e-3 * step, "step_seconds": seconds}
        rows.append({**row, "step_tokens": changed.get("tokens", 4096.0) if late else 4096.0})
    return rows


@pytest.mark.parametrize(
    ("rows", "fires"),
    [
        (slow(400, 200, 0.5), True),
        (slow(400, 200, 0.85), False),
        (slow(280, 200, 0.5), False),
        (slow(400, 200, 0.5, tokens=8192.0), False),
        (slow(400, 1, 0.5), False),
    ],
)
def test_a_speed_that_falls_for_good(rows: list[dict[str, Any]], fires: bool) -> None:
    """Not a little, not for a moment, not with other rows, not where it was slow throughout."""
    found = [f for f in report_of(rows).findings if f.code == "SFT115"]
    assert bool(found) == fires
    if fires:
        assert 199 <= found[0].onset_step <= 220
        assert "50% of the" in found[0].message
