"""A run that saves no checkpoint is read from the rows that the callback kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import scripted

import sftdiag
from sftdiag.errors import SourceError
from sftdiag.sources import find_runs, open_run


@pytest.mark.parametrize("fault", ["overfitting", "nan"])
def test_a_run_without_a_checkpoint(tmp_path: Path, fault: str) -> None:
    callback = sftdiag.DiagnosticsCallback()
    trainer = scripted.train(tmp_path, fault=fault, callbacks=[callback])
    folder = tmp_path / "out"
    assert not list(folder.glob("checkpoint-*"))
    run = open_run(folder)
    assert run.format == "callback"
    assert [row["step"] for row in run.entries] == [r["step"] for r in trainer.state.log_history]
    assert run.context.max_steps == scripted.STEPS
    own, report = sftdiag.analyze(trainer.state), sftdiag.analyze(folder)
    assert report.primary_id == own.primary_id == callback.report.primary_id
    assert find_runs(tmp_path) == [str(folder)]
    # A second run in the same folder begins anew.
    scripted.train(tmp_path, fault="healthy", callbacks=[sftdiag.DiagnosticsCallback()])
    assert len(list(open_run(folder).entries)) == len(trainer.state.log_history)
    assert sftdiag.analyze(folder).verdict == "healthy"


def test_rows_that_cannot_be_kept_harm_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_sftdiag").write_text("in the way")
    callback = sftdiag.DiagnosticsCallback()
    trainer = scripted.train(tmp_path, callbacks=[callback])
    assert trainer.state.global_step == scripted.STEPS
    with pytest.raises(SourceError):
        open_run(tmp_path / "out")
