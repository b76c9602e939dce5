"""A loss that is a sum over labels by design, as CTC's mostly is, has no level that cannot be."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from logs import Row, feed, report_of

import sftdiag
from sftdiag.context import RunContext
from sftdiag.findings import Finding


def speech(
    first: float = 1100.0,
    end: float = 60.0,
    evaluated: int = 1,
    rates: bool = True,
    seed: int = 0,
    rows: int = 40,
) -> list[Row]:
    """Return a log of wav2vec2: rows every 500 steps, beside them evaluations with a WER."""
    draw = random.Random(seed)
    log: list[Row] = []
    for row in range(1, rows + 1):
        level = end + (first - end) * math.exp(-(row - 1) / 8)
        here: dict[str, Any] = {"step": 500 * row, "epoch": row / 2}
        rate = 1e-4 * min(1.0, row / 4) * (1 - row / (rows + 1))
        log.append({**here, "loss": level * draw.gauss(1, 0.04), "learning_rate": rate})
        if evaluated and row % evaluated == 0:
            seen = {**here, "eval_loss": 0.9 * level * draw.gauss(1, 0.01), "eval_runtime": 9.0}
            error_rate = {"eval_wer": 0.15 + 0.85 * math.exp(-row / 8)} if rates else {}
            log.append({**seen, **error_rate})
    return log


def alarms(log: list[Row], context: RunContext) -> list[tuple[str, str]]:
    found: list[Finding] = feed(log, context)
    return [(f.code, f.severity.label) for f in found if f.severity.label != "info"]


LEVELS = [(1100.0, 60.0), (300.0, 25.0), (40.0, 6.0), (3000.0, 200.0)]
KNOWN = [{}, {"gradient_accumulation_steps": 1}, {"vocab_size": 32}, {"vocab_size": 32_000}]


@pytest.mark.parametrize(("first", "end"), LEVELS)
@pytest.mark.parametrize("known", KNOWN, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_error_rates_beside_the_evaluations(
    first: float, end: float, known: dict[str, Any], seed: int
) -> None:
    context = RunContext(max_steps=20_000, **known)
    log = speech(first, end, seed=seed)
    assert not alarms(log, context)
    assert report_of(log, context).verdict == "healthy"


@pytest.mark.parametrize(("first", "end"), LEVELS)
@pytest.mark.parametrize("known", KNOWN, ids=str)
@pytest.mark.parametrize("evaluated", [0, 5])
def test_a_sum_by_the_models_configuration(
    first: float, end: float, known: dict[str, Any], evaluated: int
) -> None:
    """Without an evaluation, too, and at every step."""
    context = RunContext(max_steps=20_000, summed_loss=True, **known)
    assert not alarms(speech(first, end, evaluated, rates=False), context)


def test_what_is_told_before_the_first_evaluation_is_over_with_it() -> None:
    report = report_of(speech(evaluated=5), RunContext(max_steps=20_000))
    assert report.verdict == "healthy"
    assert all(finding.resolved_step for finding in report.findings)


@pytest.mark.parametrize("known", KNOWN[:2], ids=str)
def test_where_it_may_be_one_it_is_a_warning(known: dict[str, Any]) -> None:
    """A level that falls as a sum does stops no run, whatever the accumulation is."""
    log = speech(rates=False)
    assert alarms(log, RunContext(max_steps=20_000, **known)) == [("SFT111", "warning")]


def test_a_level_that_does_not_fall_is_still_an_error() -> None:
    rows = speech(1100.0, 1090.0, rates=False)
    assert ("SFT111", "error") in alarms(rows, RunContext(max_steps=20_000))


def test_what_no_sum_can_be_is_still_told() -> None:
    sum_ = RunContext(max_steps=20_000, summed_loss=True)
    assert ("SFT111", "warning") in alarms(speech(5.0, -3.0, rates=False), sum_)
    lost = speech()
    for row in lost[20:]:
        row["loss" if "loss" in row else "eval_loss"] = math.nan
    assert ("SFT106", "error") in alarms(lost, sum_)


def test_the_configuration_beside_a_log_says_it(tmp_path: Path) -> None:
    state = {"log_history": speech(evaluated=0), "max_steps": 20_000}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    for reduction, verdict in (("sum", "healthy"), ("mean", "warning")):
        model = {"model_type": "wav2vec2", "ctc_loss_reduction": reduction, "vocab_size": 32}
        (tmp_path / "config.json").write_text(json.dumps(model))
        assert sftdiag.analyze(tmp_path).verdict == verdict


def test_the_model_of_a_trainer_says_it() -> None:
    transformers = pytest.importorskip("transformers")
    from sftdiag.trainer.context import _from_model

    for reduction, summed in (("sum", True), ("mean", None)):
        config = transformers.Wav2Vec2Config(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            conv_dim=(8,),
            conv_stride=(5,),
            conv_kernel=(10,),
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
            ctc_loss_reduction=reduction,
        )
        assert _from_model(transformers.Wav2Vec2ForCTC(config)).summed_loss is summed
