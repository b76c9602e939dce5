"""Why something could not be judged is true of the log, whatever the log: a property."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Row, decay, noisy, report_of, train_rows

from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import Report
from sftdiag.monitor import Monitor
from sftdiag.report import text

COUNTED = {
    "en": r"too few [^\n]*?: (-?[\d,]+) of ([\d,]+)",
    "zh": r"太少[^\n]*?：(-?[\d,]+) / ([\d,]+)",
}

ASKED_FOR = {
    "mean_token_accuracy": {"en": "log token accuracy", "zh": "请记录 token 准确率"},
    "learning_rate": {"en": "holds no learning rate", "zh": "没有学习率"},
    "epoch": {"en": "holds no epoch", "zh": "没有 epoch"},
    "loss": {"en": "holds no training loss", "zh": "没有训练损失"},
    "eval_loss": {"en": "holds no eval_loss", "zh": "没有 eval_loss"},
    "entropy": {"en": "neither entropy and token accuracy", "zh": "既没有熵"},
}
"""What is said of a log that lacks a column."""

EVALUATE = {"en": "evaluate during training", "zh": "在训练中做评估"}
"""What a run that evaluates is not told."""

RATES = {
    "none": lambda share: None,
    "constant": lambda share: 2e-5,
    "rising": lambda share: 2e-5 * share,
    "warm-up and decay": lambda share: 2e-5 * min(1.0, 10 * share) * (1.0 - share),
}

courses = st.fixed_dictionaries(
    {
        "rows": st.sampled_from((1, 2, 3, 5, 9, 12, 20, 33, 41, 64, 90, 150)),
        "every": st.sampled_from((1, 10, 50)),
        "rate": st.sampled_from(sorted(RATES)),
        "eval_every": st.sampled_from((0, 0, 1, 3, 20)),
        "falls": st.booleans(),
        "noise": st.sampled_from((0.0, 0.003, 0.05)),
        "level": st.sampled_from((0.02, 2.0, 10.4)),
        "columns": st.sets(st.sampled_from(("epoch", "mean_token_accuracy", "entropy"))),
        "vocab_size": st.sampled_from((None, 32_000)),
        "planned": st.booleans(),
        "back": st.booleans(),
        "eval_first": st.booleans(),
        "lost": st.sampled_from(("no", "no", "first", "all")),
        "seed": st.integers(0, 3),
    }
)


def rows_of(course: dict[str, Any]) -> list[Row]:
    count, every, draw = course["rows"], course["every"], random.Random(course["seed"])
    rows: list[Row] = []
    for number in range(1, count + 1):
        loss = decay(number, count) if course["falls"] else 1.0
        loss *= course["level"] * draw.gauss(1.0, course["noise"])
        lost = course["lost"] == "all" or (course["lost"] == "first" and number < count / 3)
        row: Row = {"step": number * every, "loss": math.nan if lost else loss}
        rate = RATES[course["rate"]](number / count)
        extra = {"epoch": number / 40, "mean_token_accuracy": 0.4, "entropy": 1.9}
        row |= {name: extra[name] for name in course["columns"]}
        row |= {} if rate is None else {"learning_rate": rate}
        both = [row]
        if course["eval_every"] and number % course["eval_every"] == 0:
            both.append({"step": row["step"], "eval_loss": 1.1 * loss})
        rows += both[::-1] if course["eval_first"] else both
    if course["back"]:
        middle = len(rows) // 2
        rows[middle:middle] = rows[middle // 2 : middle]
    return rows


def reports(course: dict[str, Any], lang: str) -> list[tuple[list[Row], Report]]:
    """Return the report at some places of the log, with the rows up to there."""
    rows = rows_of(course)
    context = RunContext(vocab_size=course["vocab_size"])
    if course["planned"]:
        context = context.replace(max_steps=course["rows"] * course["every"])
    monitor = Monitor(context, Settings(lang=lang))
    found = []
    for number, row in enumerate(rows, start=1):
        monitor.feed_entry(row)
        if number in (1, len(rows) // 5, len(rows) // 2, len(rows)):
            found.append((rows[:number], monitor.report()))
    return found


def test_evaluations_that_the_log_went_back_behind_are_no_nan() -> None:
    rows = [*train_rows([2.0] * 9), {"step": 9, "eval_loss": 1.0}]
    skipped = report_of((*rows, *train_rows([2.0] * 3))).skipped
    for name in ("eval-loss-rising", "train-eval-scale-mismatch"):
        assert "goes back" in skipped[name]


def test_a_rate_that_rises_keeps_a_known_vocabulary_from_being_looked_at() -> None:
    rows = [{"step": step, "loss": 3.0, "learning_rate": 1e-6 * step} for step in range(1, 42)]
    assert (
        report_of(rows, RunContext(vocab_size=32_000))
        .skipped["loss-above-chance"]
        .endswith("warming up")
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
@settings(max_examples=150)
@given(courses)
def test_no_reason_is_untrue(lang: str, course: dict[str, Any]) -> None:
    for rows, report in reports(course, lang):
        said = text.render(report, detail="full")
        for have, needed in re.findall(COUNTED[lang], said):
            assert 0 <= int(have.replace(",", "")) < int(needed.replace(",", "")), said
        columns = {name for row in rows for name in row}
        assert "eval_loss" not in columns or EVALUATE[lang] not in said
        for column, words in ASKED_FOR.items():
            if column in columns and not (
                column == "entropy" and "mean_token_accuracy" not in columns
            ):
                assert words[lang] not in said, f"{column} is logged: {said}"


NOISY = noisy([2.0] * 60, 0.1, seed=1)


@pytest.mark.parametrize(
    ("lang", "evaluates", "not_yet"),
    [
        ("en", "evaluate during training", "the evaluations so far (6) do not tell either"),
        ("zh", "请在训练中做评估", "已有的 6 次评估也看不出来"),
    ],
)
@pytest.mark.parametrize("every", [1, 10])
def test_a_run_that_evaluates_is_not_told_to(
    lang: str, evaluates: str, not_yet: str, every: int
) -> None:
    rows = [{**row, "step": every * row["step"]} for row in train_rows(NOISY)]
    scattered = [
        {"step": every * step, "eval_loss": 2.0 + 0.002 * (step % 20)} for step in range(10, 70, 10)
    ]
    for evaluations, told, other in (([], evaluates, not_yet), (scattered, not_yet, evaluates)):
        monitor = Monitor(RunContext(), Settings(lang=lang))
        for row in sorted([*rows, *evaluations], key=lambda row: row["step"]):
            monitor.feed_entry(row)
        said = monitor.report().skipped["train-loss-flat"]
        assert told in said.replace("或在", "请在"), said
        assert other not in said


EVALUATED = {"step": 9, "eval_runtime": 0.001, "eval_samples_per_second": 0.0}


@pytest.mark.parametrize(
    ("known", "evaluations", "told"),
    [
        ({}, [], "set eval_strategy and an eval set"),
        ({"framework": "loop"}, [], "hold out rows, evaluate them"),
        ({"eval_samples": 0}, [], "the evaluation set has no rows, and"),
        ({"eval_samples": 0}, [EVALUATED], "the evaluation set has no rows, and"),
        ({}, [EVALUATED], "were made and logged no eval_loss: the evaluation set has no rows (or,"),
        ({"framework": "loop"}, [EVALUATED], "log it with them, as eval_loss"),
        # A metric of one's own, logged beside, is no evaluation.
        ({}, [{"step": 9, "eval_bleu": 0.3}], "set eval_strategy and an eval set"),
    ],
)
def test_why_there_is_no_evaluation_loss(
    known: dict[str, Any], evaluations: list[Row], told: str
) -> None:
    skipped = report_of([*train_rows([2.0] * 9), *evaluations], RunContext(**known)).skipped
    for name in ("eval-loss-rising", "eval-not-finite", "train-eval-scale-mismatch"):
        assert told in skipped[name]
