"""An evaluation and a save at one step under FSDP2, which some torch versions do not survive."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from sftdiag.trainer.saves import say_where_it_breaks


def said(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    torch: str = "2.11.0+cu130",
    step: int = 0,
    lang: str = "en",
    **changes: Any,
) -> list[str]:
    """Return what is said of a run of 100 steps."""
    chosen = {
        "fsdp": True,
        "fsdp_plugin_args": {"fsdp_version": 2},
        "eval_strategy": "steps",
        "save_strategy": "steps",
        "eval_steps": 10,
        "save_steps": 20,
        **changes,
    }
    monkeypatch.setitem(__import__("sys").modules, "torch", SimpleNamespace(__version__=torch))
    caplog.clear()
    with caplog.at_level(logging.INFO, "sftdiag"):
        state = SimpleNamespace(max_steps=100, global_step=step)
        say_where_it_breaks(SimpleNamespace(**chosen), state, lang)
    return [record.getMessage() for record in caplog.records]


def test_the_step_and_what_to_change_are_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = said(caplog, monkeypatch)
    assert line.startswith("eval_steps=10 and save_steps=20 meet at step 20:")
    assert "Set save_steps=21, " in line
    # transformers refuses a run that saves apart from its evaluations and wants its best model.
    (line,) = said(caplog, monkeypatch, load_best_model_at_end=True)
    assert "set load_best_model_at_end=False and save_steps=21" in line
    (line,) = said(caplog, monkeypatch, step=40, lang="zh")
    assert "第 60 步" in line
    (line,) = said(caplog, monkeypatch, eval_steps=0.25, save_steps=50)
    assert "meet at step 50" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"torch": "2.13.0+cpu"},
        {"torch": "unknown"},
        {"fsdp": None},
        {"fsdp_plugin_args": {"fsdp_version": 1}},
        {"fsdp_plugin_args": None},
        {"eval_strategy": "no"},
        {"save_strategy": "epoch"},
        {"save_steps": 100},
        {"eval_steps": 30, "save_steps": 40},
        {"step": 80},
        {"eval_steps": None},
    ],
)
def test_a_run_that_does_not_break_is_told_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    assert said(caplog, monkeypatch, **changes) == []
