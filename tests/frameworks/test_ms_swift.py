"""ms-swift: how it makes the callback, and the gradients that it drops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra trainer")

import finetune
import stand_ins
import torch

import sftdiag
from sftdiag.frameworks import ms_swift

LENGTH = 77


def as_swift_makes_it(folder: Path, **arguments: Any) -> tuple[Any, Any]:
    """Return a trainer with swift's template, and the callback made by its arguments."""
    trainer = finetune.make_trainer("none", folder, **arguments)
    trainer.template = type("Template", (), {"max_length": LENGTH})()
    callback = ms_swift.Callback(trainer.args, trainer)
    trainer.add_callback(callback)
    return trainer, callback


def test_the_printed_file_registers_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    command = (sys.executable, "-m", "sftdiag.frameworks.ms_swift")
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    file = Path(printed.rstrip("\n"))
    callbacks: dict[str, Any] = {}
    stand_ins.put(monkeypatch, "swift.callbacks", callbacks_map=callbacks)
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), {})
    assert callbacks == {"sftdiag": ms_swift.Callback}


def test_nothing_beside_the_printed_file_hides_a_library() -> None:
    """Swift puts the file's folder at the head of sys.path."""
    folder = Path(ms_swift.__file__).parent
    names = {path.stem for path in folder.glob("*.py")}
    assert names == {"__init__", "__main__", "sftdiag_plugin"}


def test_the_trainer_is_known(tmp_path: Path) -> None:
    trainer, callback = as_swift_makes_it(tmp_path, max_steps=4)
    trainer.train()
    context = callback.report and callback._monitor.signals.context
    assert (context.framework, context.max_length) == ("ms-swift", LENGTH)
    assert {rows.split for rows in callback.report.rows} == {"train", "eval"}
    assert callback.report.verdict in ("healthy", "inconclusive")


def test_dropped_gradients_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients that are NaN are set to None, so that the loss stays finite."""
    monkeypatch.setenv("SFTDIAG_STOP_ON", "error")
    trainer, callback = as_swift_makes_it(tmp_path, max_steps=90, eval_strategy="no")
    clip, fault = trainer.accelerator.clip_grad_norm_, 40

    def dropping(parameters: Any, *args: Any, **kwargs: Any) -> Any:
        parameters = list(parameters)
        if trainer.state.global_step >= fault:
            parameters[0].grad.fill_(float("nan"))
        norm = clip(parameters, *args, **kwargs)
        if torch.isnan(norm):
            for parameter in parameters:
                parameter.grad = None
        return norm

    monkeypatch.setattr(trainer.accelerator, "clip_grad_norm_", dropping)
    trainer.train()
    assert callback.report.primary is not None
    assert callback.report.primary.code == "SFT112"
    logging_steps = trainer.args.logging_steps
    assert fault < trainer.state.global_step <= fault + 3 * logging_steps


def test_a_healthy_run_is_bit_identical(tmp_path: Path) -> None:
    trainer, _ = as_swift_makes_it(tmp_path / "with", max_steps=6)
    trainer.train()
    without = finetune.make_trainer("none", tmp_path / "without", max_steps=6)
    without.train()
    losses = [
        [row["loss"] for row in each.state.log_history if "loss" in row]
        for each in (trainer, without)
    ]
    assert losses[0] == losses[1]


def test_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTDIAG_DISABLE", "1")
    trainer, callback = as_swift_makes_it(tmp_path, max_steps=2)
    trainer.train()
    assert callback.report.findings == ()
    assert not (tmp_path / "_sftdiag").exists()
    assert isinstance(callback, sftdiag.DiagnosticsCallback)
