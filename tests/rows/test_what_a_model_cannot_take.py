"""Tokens that the model has no embedding for, and an optimizer of the user's own, before step 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import sftdiag

setups = pytest.importorskip("setups", reason="needs the extra trainer")

from datasets import Dataset  # noqa: E402

pytestmark = pytest.mark.slow


def beyond_the_embeddings(folder: Path, which: str) -> Any:
    """A trainer whose tokenizer got a token that the model was not given an embedding for."""
    known = setups.tokenizer()
    rows = setups.tokens(setups.PAIRS[:40])
    trainer = setups.sft(folder, rows, known=known, max_steps=2, logging_steps=1)
    known.add_tokens(["<other>"])
    if which == "a row":
        changed = [dict(row) for row in rows]
        changed[4]["input_ids"] = [*changed[4]["input_ids"][:-1], len(known) - 1]
        trainer.train_dataset = Dataset.from_list(changed)
    elif which == "padding":
        known.pad_token = "<other>"
    return trainer


@pytest.mark.parametrize(
    ("which", "severity"), [("a row", "error"), ("padding", "warning"), ("none", "info")]
)
def test_a_token_without_an_embedding_is_found_before_the_model_is_asked(
    tmp_path: Path, which: str, severity: str
) -> None:
    trainer = beyond_the_embeddings(tmp_path, which)
    asked: list[int] = []
    trainer.model.register_forward_pre_hook(lambda *given: asked.append(trainer.state.global_step))
    callback = sftdiag.attach(trainer, stop_on="error", probes=True)
    (found,) = [f for f in sftdiag.preflight(trainer).findings if f.code == "SFT427"]
    assert found.severity.label == severity
    assert asked == []
    state, control = trainer.state, trainer.control
    parts = {"model": trainer.model, "processing_class": trainer.processing_class}
    callback.on_init_end(trainer.args, state, control, **parts)
    callback.on_train_begin(trainer.args, state, control, **parts)
    assert bool(asked) == (severity == "info")
    assert "SFT427" in {found.code for found in callback.report.findings}


def test_a_row_without_an_embedding_does_end_the_run(tmp_path: Path) -> None:
    trainer = beyond_the_embeddings(tmp_path, "a row")
    trainer.args.max_steps = 40
    with pytest.raises(IndexError, match="index out of range"):
        trainer.train()


def test_a_given_optimizer_has_the_rate(tmp_path: Path) -> None:
    """``optimizers=(optimizer, None)``: the arguments' 5e-5 is nowhere used."""
    trainer = setups.sft(tmp_path, setups.messages(setups.PAIRS[:40]), max_steps=2)
    trainer.optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=0.3)
    (found,) = [f for f in sftdiag.preflight(trainer).findings if f.code == "SFT501"]
    assert "0.3" in found.message
    trainer.optimizer = torch.optim.SGD(trainer.model.parameters(), lr=0.3)
    report = sftdiag.preflight(trainer)
    assert not [f for f in report.findings if f.code == "SFT501"]
    trainer.optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=0.0)
    (found,) = [f for f in sftdiag.preflight(trainer).findings if f.code == "SFT501"]
    assert found.severity.label == "error"
