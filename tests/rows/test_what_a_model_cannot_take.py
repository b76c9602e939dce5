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


def test_a_given_optimizer_has_its_constants_and_is_where_they_are_changed(tmp_path: Path) -> None:
    trainer = setups.sft(tmp_path, setups.messages(setups.PAIRS[:40]), max_steps=2)
    trainer.optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=5e-5, betas=(0.999, 0.9))
    (before,) = [f for f in sftdiag.preflight(trainer).findings if f.code == "SFT512"]
    callback = sftdiag.attach(trainer)
    trainer.train()
    (live,) = [f for f in callback.report.findings if f.code == "SFT512"]
    for found in (before, live):
        changes = {"AdamW.betas[0]": (0.999, 0.9), "AdamW.betas[1]": (0.9, 0.999)}
        assert "adam_beta1 0.999 with adam_beta2 0.9" in found.message
        assert [dict(fix.changes) for fix in found.causes[0].fixes] == [changes]


def test_weights_of_bfloat16_are_told_what_their_second_moment_is(tmp_path: Path) -> None:
    trainer = setups.sft(tmp_path, setups.messages(setups.PAIRS[:40]), max_steps=2000)
    assert "SFT509" not in {f.code for f in sftdiag.preflight(trainer).findings}
    trainer.model.to(torch.bfloat16)
    trainer.args.learning_rate = 1e-2  # No step is rounded away.
    (found,) = [f for f in sftdiag.preflight(trainer).findings if f.code == "SFT509"]
    assert (found.severity.label, found.evidence["beta2"]) == ("info", 0.999)
    assert found.causes[0].fixes[0].changes == {"SFTConfig.adam_beta2": (0.999, 0.95)}
