"""Rows of a fast run wait a moment, where nothing acts; whatever may be sudden does not."""

from __future__ import annotations

import logging
import math
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.live import later, step_signals
from sftdiag.live.later import HIGHS, Later
from sftdiag.live.made_step import Taken
from sftdiag.live.ring import HostRing, Ring
from sftdiag.sources import every_step
from sftdiag.sources.every_step import Step, unpacked

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

from transformers import TrainerCallback  # noqa: E402


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def steps(last: int, losses: list[float] | None = None, **changed: Any) -> list[Step]:
    known = {"grad_norm": 1.0, "learning_rate": 1e-4, "epoch": 0.5, **changed}
    losses = losses or [2.0, 1.5]
    return [Step(last - len(losses) + 1 + n, loss, **known) for n, loss in enumerate(losses)]


def taken(kept: list[Step]) -> Taken:
    return Taken(*zip(*kept, strict=True))


def waits(rows: Later, kept: list[Step], row: dict[str, Any]) -> bool:
    """Return whether a log row and its steps wait, and nobody judges them now."""
    if rows.is_usual(taken(kept), row):
        return rows.takes(taken(kept), row)
    rows.judged()
    return False


def begun(clock: Clock) -> Later:
    """Return one that has seen a row, which is judged at once."""
    rows = Later(clock)
    assert not waits(rows, steps(2), {"step": 2, "loss": 1.75})
    return rows


def test_rows_wait_for_seconds() -> None:
    clock = Clock()
    rows = begun(clock)
    for last, now in ((4, 0.1), (6, 0.9 * later.LONGEST)):
        clock.now = now
        assert waits(rows, steps(last), {"step": last, "loss": 1.75})
    clock.now = later.LONGEST
    assert not waits(rows, steps(8), {"step": 8, "loss": 1.75})
    # They are as one row, whose steps are those of both.
    ((kept, row),) = rows.rest()
    assert [step.step for step in unpacked(kept)] == [3, 4, 5, 6]
    assert row["step"] == 6
    assert rows.rest() == []


def test_rows_that_say_something_else_besides_stay_apart() -> None:
    clock = Clock()
    rows = begun(clock)
    for last, entropy in ((4, 0.5), (6, 0.5), (8, 0.6)):
        assert waits(rows, steps(last), {"step": last, "loss": 1.75, "entropy": entropy})
    assert [len(unpacked(kept)) for kept, _ in rows.rest()] == [4, 2]


@pytest.mark.parametrize(
    "kept",
    [
        [],
        steps(4, [1.5, math.nan]),
        steps(4, [1.5, math.inf]),
        steps(4, [0.0, 1.5]),
        steps(4, [1.5, -1.0]),
        steps(4, [1.5, 2.1]),
        steps(4, grad_norm=math.nan),
        steps(4, grad_norm=0.0),
        steps(4, learning_rate=None),
        steps(4, learning_rate=2e-4),
        steps(4, skipped=1.0),
        steps(3),
    ],
)
def test_what_may_be_sudden_does_not_wait(kept: list[Step]) -> None:
    rows = begun(Clock())
    assert not waits(rows, kept, {"step": 4, "loss": 1.75})
    assert rows.rest() == []


def test_nor_does_a_row_that_stands_for_no_step() -> None:
    rows = begun(Clock())
    assert not waits(rows, steps(4), {"step": 4, "eval_loss": 1.75})
    assert waits(rows, steps(4, grad_norm=None), {"step": 4, "loss": 1.75})


def test_what_is_usual_is_what_came_lately() -> None:
    rows = Later(Clock())
    waits(rows, steps(2, [9.0, 1.0]), {"step": 2, "loss": 5.0})
    for last in range(4, 4 + 2 * HIGHS, 2):
        assert waits(rows, steps(last), {"step": last, "loss": 1.75})
    last += 2
    assert not waits(rows, steps(last, [8.0, 1.0]), {"step": last, "loss": 4.5})


def test_what_waits_is_written_down_from_time_to_time() -> None:
    clock = Clock()
    rows = begun(clock)
    assert rows.keeps()
    clock.now = 0.9 * later.KEPT
    assert not rows.keeps()
    clock.now = later.KEPT
    assert rows.keeps()


RAISES = """
import sys
sys.path.insert(0, {examples!r})
import finetune, sftdiag
from sftdiag.live import later, step_signals
from transformers import TrainerCallback

later.KEPT = 1e9

class Ends(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 30:
            raise RuntimeError("CUDA out of memory")

trainer = finetune.make_trainer("none", {folder!r}, logging_steps=2, eval_strategy="no")
trainer.add_callback(Ends())
sftdiag.attach(trainer, ignore=["SFT4", "SFT5"])
trainer.train()
"""


@pytest.mark.slow
def test_a_run_that_an_error_ends_leaves_the_steps_that_waited(tmp_path: Path) -> None:
    examples = str(Path(finetune.__file__).parent)
    script = RAISES.format(examples=examples, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert b"CUDA out of memory" in done.stderr
    assert [step.step for step in every_step.read(str(tmp_path))] == [*range(1, 31)]


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, longest: float, kind: type[Ring], fault: str
) -> Any:
    monkeypatch.setattr(later, "LONGEST", longest)
    monkeypatch.setattr(later, "KEPT", longest)
    monkeypatch.setattr(step_signals, "ring_of", lambda device, least: kind(500, device))
    trainer = finetune.make_trainer(fault, folder, logging_steps=3, eval_steps=20)
    callback = sftdiag.attach(trainer, ignore=["SFT4", "SFT5"])
    asked = []

    class Looks(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step in (31, 32, 95):
                asked.append(repr(callback.report))

    trainer.add_callback(Looks())
    trainer.train()
    trainer.save_state()
    return callback, asked, folder


WAYS: list[tuple[str, float, type[Ring]]] = [
    ("at-once", 0.0, HostRing),
    ("later", 1e9, HostRing),
    ("as-the-device-computes", 0.0, Ring),
    ("both", 1e9, Ring),
]
"""Name, the seconds that rows wait, and where losses are kept: as on an accelerator, what the watch
need not do at once is done in the next step there."""


@pytest.mark.parametrize(
    ("fault", "ways"),
    [
        ("overfitting", WAYS),
        ("nan-weights", WAYS),
        # Each part alone was looked at by then.
        ("none", (WAYS[0], WAYS[-1])),
        ("learning-rate-too-high", (WAYS[0], WAYS[-1])),
    ],
)
def test_it_changes_no_word(
    fault: str,
    ways: list[tuple[str, float, type[Ring]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a report at any step, of what is logged, or of what the files say later."""
    said = []
    for name, longest, kind in ways:
        caplog.clear()
        with caplog.at_level(logging.INFO, "sftdiag"):
            callback, asked, folder = run(tmp_path / name, monkeypatch, longest, kind, fault)
        lines = [record.message for record in caplog.records]
        findings = [finding.to_dict() for finding in callback.report.findings]
        kept = every_step.read(str(folder))
        log = (folder / "_sftdiag" / "log.jsonl").read_text().splitlines()
        later_told = [finding.to_dict() for finding in sftdiag.analyze(folder).findings]
        assert later_told == findings
        steps_kept = repr([step._replace(seconds=None) for step in kept])
        said.append((asked, lines, findings, steps_kept, log))
    (asked, lines, *others), *rest = said
    for asked_later, lines_later, *others_later in rest:
        assert others_later[:2] == others[:2]
        assert len(others_later[2]) == len(others[2])
        assert lines_later == lines
        assert asked_later == asked


def test_who_asks_from_another_thread_is_told_what_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on meanwhile: nothing is judged there."""
    monkeypatch.setattr(later, "LONGEST", 1e9)
    trainer = finetune.make_trainer("none", tmp_path, logging_steps=2, max_steps=40, eval_steps=100)
    callback = sftdiag.attach(trainer, ignore=["SFT4", "SFT5"])
    seen: list[int] = []

    def ask() -> None:
        seen.append(callback.report.summary.records)

    class Asks(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 35:
                thread = threading.Thread(target=ask)
                thread.start()
                thread.join()
                ask()

    trainer.add_callback(Asks())
    trainer.train()
    elsewhere, here = seen
    assert elsewhere < here == 34


def test_the_highest_of_noise_waits_and_a_spike_does_not() -> None:
    draw, clock = random.Random(0), Clock()
    rows, waited = begun(clock), 0
    for last in range(12, 4000, 10):
        losses = [draw.gauss(1.5, 0.05) for _ in range(10)]
        waited += waits(rows, steps(last, losses), {"step": last, "loss": 1.5})
    assert waited > 0.9 * 398
    for deviations in (6, 10, 100, 104):
        spiked = [*(draw.gauss(1.5, 0.05) for _ in range(9)), 1.5 + deviations * 0.05]
        last += 10
        assert not waits(rows, steps(last, spiked), {"step": last, "loss": 1.5})
