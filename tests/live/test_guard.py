"""A guard keeps a bad step out of the weights, and nothing else."""

from __future__ import annotations

import json
import logging
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from launch import HELPERS, LAUNCH

import sftdiag
from sftdiag.sources import every_step

poison = pytest.importorskip("benchmarks.guard.poison", reason="needs the extra trainer")

import torch  # noqa: E402
from transformers import TrainerCallback  # noqa: E402


class Weights(TrainerCallback):
    """Keeps a sum of the weights and of the optimizer's moments after each step."""

    def __init__(self) -> None:
        self.after: list[tuple[float, float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        moments = [s["exp_avg"] for s in kwargs["optimizer"].state.values()]
        with torch.no_grad():
            weights = sum(
                float(p.double().nan_to_num().sum()) for p in kwargs["model"].parameters()
            )
        self.after.append((weights, sum(float(m.double().sum()) for m in moments)))


def train(trainer: Any, **options: Any) -> sftdiag.DiagnosticsCallback:
    callback = sftdiag.attach(trainer, ignore=["SFT4", "SFT5"], **options)
    trainer.train()
    trainer.save_state()
    return callback


def told(report: sftdiag.Report) -> str:
    return repr([finding.to_dict() for finding in report.findings])


@pytest.mark.parametrize("kind", poison.KINDS)
def test_a_bad_step_changes_no_weight(kind: str, tmp_path: Path) -> None:
    """Also not by weight decay or momentum; at the exact step, with the bad rows named first."""
    trainer = poison.make(kind, tmp_path, steps=(45,), max_steps=50, weight_decay=0.1)
    weights = Weights()
    trainer.add_callback(weights)
    callback = train(trainer, guard=True)
    assert weights.after[44] == weights.after[43]
    assert len(set(weights.after)) == 49
    (found,) = callback.report.findings
    assert (found.code, found.onset_step, found.severity.label) == ("SFT113", 45, "info")
    (rows,) = found.rows
    bad = poison.poisoned_rows(kind, 45)
    losses = [loss if math.isfinite(loss) else math.inf for loss in rows.losses or ()]
    ranked = sorted(zip(losses, rows.rows, strict=True), key=lambda pair: -pair[0])
    assert {row for _, row in ranked[: len(bad)]} == set(bad)
    assert told(sftdiag.analyze(tmp_path)) == told(callback.report)
    kept = every_step.read(str(tmp_path))
    assert [step.step for step in kept if step.skipped] == [45]
    assert len(kept) == 50


def test_until_it_acts_the_run_is_the_run_without_it(tmp_path: Path) -> None:
    runs = []
    for name, guard in (("without", None), ("with", True)):
        trainer = poison.make(None, tmp_path / name, max_steps=40)
        train(trainer, guard=guard)
        rows = [row for row in trainer.state.log_history if "loss" in row]
        runs.append((rows, [p.detach().clone() for p in trainer.model.parameters()]))
    (bare, weights), (guarded, others) = runs
    assert bare == guarded
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


def test_past_its_budget_it_stops_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = poison.make(poison.NAN, tmp_path, steps=range(30, 60), max_steps=60)
    with caplog.at_level(logging.WARNING, "sftdiag"):
        callback = train(trainer, guard=True)
    assert trainer.state.global_step == 32
    (found,) = callback.report.findings
    assert (found.code, found.severity.label) == ("SFT113", "warning")
    assert "stopped the run at step 32" in found.message
    assert "stopped at step 32 of 60 by SFT113 step-skipped-by-guard" in caplog.text
    assert all(p[3:].isfinite().all() for p in trainer.model.parameters())
    assert told(sftdiag.analyze(tmp_path)) == told(callback.report)


def test_an_adapter_is_put_back_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """To its weights at the best evaluation, at half the rate; then the run is stopped."""
    from peft import LoraConfig, get_peft_model

    chosen = {"max_steps": 60, "eval_strategy": "steps", "eval_steps": 10, "learning_rate": 1e-2}
    trainer = poison.make(poison.NAN, tmp_path, steps=(*range(35, 38), *range(45, 60)), **chosen)
    adapter = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    trainer.model = trainer.model_wrapped = get_peft_model(trainer.model, adapter)
    with caplog.at_level(logging.WARNING, "sftdiag"):
        callback = train(trainer, guard=sftdiag.Guard(rollback=1))
    rates = {step.step: step.learning_rate for step in every_step.read(str(tmp_path))}
    assert (rates[34], rates[40]) == (0.01, 0.005)
    assert "the guard has put the weights back to those of step 30" in caplog.text
    assert trainer.state.global_step == 47
    (found,) = callback.report.findings
    assert "stopped the run" in found.message
    assert told(sftdiag.analyze(tmp_path)) == told(callback.report)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, pytest.param(20, marks=pytest.mark.acceptance)])
def test_two_ranks_skip_the_same_step(runs: int, tmp_path: Path) -> None:
    """In runs one after another no rank waits for ever, and each knows the rows of both."""
    command = (*LAUNCH, HELPERS / "two_ranks_guard.py", tmp_path, str(runs))
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{n}.json").read_text()) for n in (0, 1))
    assert first == second
    assert len(first) == runs
    for run in first:
        assert run["skipped"] == [run["poisoned"]]
        assert run["finite"]
        assert run["step"] == 12
        begin = 8 * (run["poisoned"] - 1)
        assert run["rows"] == [[n, list(range(begin + 4 * n, begin + 4 * n + 4))] for n in (0, 1)]


def test_what_a_loss_scaler_skips_is_left_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real one, which accelerate makes for a GPU alone; its scale is too high for some steps."""
    trainer = poison.make(None, tmp_path, max_steps=30, logging_steps=5)
    accelerator = trainer.accelerator
    state = accelerator.state
    before = state._mixed_precision
    state._mixed_precision, accelerator.native_amp = "fp16", True
    trainer.args.fp16 = True
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**26)
    weights = Weights()
    trainer.add_callback(weights)
    try:
        with caplog.at_level(logging.WARNING, "sftdiag"):
            callback = train(trainer, guard=True)
    finally:
        state._mixed_precision = before
    assert "fp16's loss scaler skips steps" in caplog.text
    steps = every_step.read(str(tmp_path))
    overflown = [step.step for step in steps if not math.isfinite(step.grad_norm or 0.0)]
    assert overflown
    assert [step.step for step in steps] == list(range(1, 31))
    assert not any(step.skipped for step in steps)
    first = overflown[0]
    assert first == 1 or weights.after[first - 1] == weights.after[first - 2]
    assert accelerator.scaler.get_scale() == 2.0 ** (26 - len(overflown))
    assert all(finding.worst.label == "info" for finding in callback.report.findings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"is_deepspeed_enabled": True}, "no step under DeepSpeed"),
        ({}, "no step of lomo"),
    ],
)
def test_where_it_cannot_act_it_says_so_and_reports(
    change: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from sftdiag.live.bad_steps import Guard
    from sftdiag.live.guard import GuardedSteps
    from sftdiag.live.step_signals import StepSignals

    trainer = poison.make(None, tmp_path, max_steps=10)
    trainer.args.optim = trainer.args.optim if change else "lomo"
    for name, value in change.items():
        setattr(trainer, name, value)
    guarded = GuardedSteps(Guard(), StepSignals(trainer), "en")
    with caplog.at_level(logging.WARNING, "sftdiag"):
        guarded.begin()
    assert said in caplog.text
    guarded.before_step(0, None, None)
    assert not guarded.stopped


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "log does not show the mean of its steps' losses"), ("zh", "平均")]
)
def test_where_the_log_shows_another_loss_it_says_so_in_words(
    lang: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = poison.make(None, tmp_path, max_steps=12, logging_steps=3)
    log = trainer.log
    trainer.log = lambda logs, *rest: log(
        {**logs, "loss": 10 * logs["loss"]} if "loss" in logs else logs, *rest
    )
    with caplog.at_level(logging.WARNING, "sftdiag"):
        train(trainer, guard=True, lang=lang)
    assert said in caplog.text
    assert "disagrees" not in caplog.text


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("offload", [None, False, True])
def test_fsdp_keeps_it_from_acting_only_where_it_offloads(
    version: int, offload: bool | None, tmp_path: Path
) -> None:
    """By accelerate's own plugin: FSDP2's policy of not offloading is an object, and true."""
    from accelerate import FullyShardedDataParallelPlugin

    from sftdiag.live.guard import _refusal

    given = {} if offload is None else {"cpu_offload": offload}
    trainer = poison.make(None, tmp_path, max_steps=1)
    state = trainer.accelerator.state
    state.fsdp_plugin = FullyShardedDataParallelPlugin(fsdp_version=version, **given)
    try:
        assert _refusal(trainer)[0] == ("offload" if offload else None)
    finally:
        del state.fsdp_plugin


@pytest.mark.parametrize(
    "wrong", [1, "yes", {"skip": "all"}, {"most_in_a_row": 0}, {"most_share": 0}, {"rollback": -1}]
)
def test_what_a_guard_may_be(wrong: Any) -> None:
    from sftdiag.live.bad_steps import Guard

    with pytest.raises(sftdiag.ConfigError, match=r"guard|Guard"):
        Guard.parse(Guard(**wrong) if isinstance(wrong, dict) else wrong)
    assert Guard.parse(False) is None
    assert Guard.parse(True) == Guard()
