"""Answers that can cost next to nothing; evaluation rows that are a part of the training rows."""

from __future__ import annotations

import random

import pytest

from sftdiag.checks import Inputs, run_checks
from sftdiag.checks._easy_answers import easy_answers
from sftdiag.checks.eval_distribution_shift import EvalDistributionShiftCheck
from sftdiag.context import RunContext
from sftdiag.monitor import Monitor
from sftdiag.observations import Outcome
from sftdiag.samples import Sample, Split


def row(prompt: list[int], answer: list[int]) -> Sample:
    ids = (*prompt, *answer)
    return Sample(ids, ids, answers=((len(prompt), len(ids)),))


COPIES = [row([7, *range(i, i + 20)], [*range(i, i + 20)]) for i in range(0, 800, 20)]
LABELS = [row([*range(i, i + 20)], [5000 + i % 4]) for i in range(1, 41)]
EMPTY = [row([*range(i, i + 20)], []) for i in range(1, 41)]
TEXTS = [row([*range(i, i + 20)], [*range(i + 5000, i + 5020)]) for i in range(0, 800, 20)]


@pytest.mark.parametrize(
    ("rows", "share"),
    [(COPIES, 1.0), (LABELS, 1.0), (EMPTY, 1.0), (TEXTS, 0.0), ([*COPIES, *TEXTS], 0.5)],
)
def test_which_answers_are_easy(rows: list[Sample], share: float) -> None:
    assert easy_answers(Split("train", tuple(rows), len(rows))) == share


def test_few_rows_say_nothing() -> None:
    assert easy_answers(Split("train", tuple(COPIES[:19]), 19)) is None
    assert easy_answers(None) is None


@pytest.mark.parametrize(("rows", "codes"), [(COPIES, []), (LABELS, []), (TEXTS, ["SFT111"])])
@pytest.mark.parametrize("by", ["train", "evaluation"])
def test_a_loss_near_0_is_a_fault_of_text_alone(
    rows: list[Sample], codes: list[str], by: str
) -> None:
    """Also as the outcome comes back from its file."""
    outcome = run_checks(Inputs(train=Split("train", tuple(rows), len(rows))))
    monitor = Monitor(RunContext(max_steps=100))
    monitor.take_checks(Outcome.from_dict(outcome.to_dict()))
    assert monitor.checked.easy_answers == outcome.easy_answers, "what is kept beside the log"
    lowest = 0.001 if by == "train" else 0.5
    for step in range(1, 61):
        loss = max(lowest, 2.0 * 0.8**step)
        monitor.feed_entry({"step": step, "epoch": step / 100, "loss": loss})
        if by == "evaluation" and step % 10 == 0:
            monitor.feed_entry({"step": step, "epoch": step / 100, "eval_loss": 0.0011})
    found = [f.code for f in monitor.report().findings if f.code == "SFT111"]
    assert found == codes


def test_evaluation_rows_that_are_a_part_of_the_training_rows_are_a_note() -> None:
    """Half of the training rows in one language, half in another; evaluated in one of them."""

    def of(language: int, first: int, count: int) -> list[Sample]:
        return [
            row([language + i * k % 97 for k in range(1, 15)], [language + i % 97])
            for i in range(first, first + count)
        ]

    train = [*of(100, 0, 200), *of(900, 0, 200)]
    random.Random(0).shuffle(train)
    split = Split("train", tuple(train), len(train))
    said = {}
    for name, rows in {"part": of(100, 200, 60), "other": of(5000, 200, 60)}.items():
        inputs = Inputs(train=split, evaluations=(Split("eval", tuple(rows), len(rows)),))
        found = EvalDistributionShiftCheck().look(inputs)
        assert isinstance(found, list)
        said[name] = [(seen.severity.label, seen.variant) for seen in found]
    assert said == {"part": [("info", "part")], "other": [("warning", "default")]}
