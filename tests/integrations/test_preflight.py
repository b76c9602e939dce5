"""preflight(trainer) on real tiny trainers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sftdiag

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

pytestmark = pytest.mark.slow


def test_a_healthy_trainer(tmp_path: Path) -> None:
    report = sftdiag.preflight(finetune.make_trainer("none", tmp_path))
    assert report.verdict == "healthy"
    assert report.findings == ()
    assert "no-supervised-token" in report.ran
    train, evaluation = report.rows
    assert (train.rows, train.total) == (256, 640)
    assert 0.014 < train.undetected < 0.015
    assert (evaluation.rows, evaluation.total, evaluation.undetected) == (80, 80, 0.0)
    assert list(tmp_path.iterdir()) == []


def test_every_label_masked(tmp_path: Path) -> None:
    report = sftdiag.preflight(finetune.make_trainer("label-mask", tmp_path))
    assert report.primary is not None
    assert report.primary.code == "SFT401"
    (cause,) = report.primary.causes
    assert (cause.id, cause.status.name, cause.check) == ("label-mask", "CONFIRMED", "SFT401")
    with pytest.raises(sftdiag.UnhealthyRunError, match="SFT401 no-supervised-token"):
        report.raise_for("error")
    assert sftdiag.Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_codes_can_be_chosen(tmp_path: Path) -> None:
    trainer = finetune.make_trainer("label-mask", tmp_path)
    report = sftdiag.preflight(trainer, ignore="SFT401", lang="zh")
    assert report.findings == ()
    assert report.skipped["no-supervised-token"] == "被 select 或 ignore 排除"
    with pytest.raises(sftdiag.ConfigError, match="unknown code"):
        sftdiag.preflight(trainer, select="SFT499")
