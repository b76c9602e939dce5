"""A framework's own log beside _sftdiag/: read with every step that the callback kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the extra trainer")

import finetune

import sftdiag


@pytest.mark.slow
def test_it_says_what_the_callback_said(tmp_path: Path) -> None:
    trainer = finetune.make_trainer(
        "learning-rate-too-high", tmp_path, logging_steps=20, max_steps=40, eval_strategy="no"
    )
    callback = sftdiag.attach(trainer)
    trainer.train()
    log = tmp_path / "trainer_log.jsonl"
    rows = [row for row in trainer.state.log_history if "loss" in row]
    told = [{"current_steps": row["step"], "total_steps": 40, "loss": row["loss"]} for row in rows]
    log.write_text("".join(f"{json.dumps(row)}\n" for row in told), encoding="utf-8")

    live, beside = callback.report, sftdiag.analyze(log)
    assert live.verdict == beside.verdict == "error"
    assert {f.id for f in live.findings} == {f.id for f in beside.findings}
    assert beside.summary.records == live.summary.records > len(rows)

    # axolotl keeps its console there, too; a console of anyone else's may be another run's.
    console = tmp_path / "debug.log"
    lines = [{key: f"{row[key]:.4g}" for key in ("loss", "epoch")} for row in rows]
    console.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assert sftdiag.analyze(console).summary.records == len(rows)
    known = tmp_path / "_sftdiag" / "context.json"
    content = json.loads(known.read_text(encoding="utf-8"))
    known.write_text(json.dumps({**content, "framework": "axolotl"}), encoding="utf-8")
    assert {f.id for f in sftdiag.analyze(console, logging_steps=20).findings} == {
        f.id for f in live.findings
    }

    alone = shutil.copy(log, tmp_path.parent / f"{tmp_path.name}.jsonl")
    assert sftdiag.analyze(alone).summary.records == len(rows)
