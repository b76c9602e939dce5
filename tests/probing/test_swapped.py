"""Whose answers the rows have, asked of tiny models that can read them, and of some that cannot."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.config import Settings
from sftdiag.errors import ConfigError

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

import tiny_models  # noqa: E402
from datasets import Dataset  # noqa: E402

from sftdiag.probing.offline import probe_model  # noqa: E402
from sftdiag.probing.swapped import ROWS, swaps  # noqa: E402
from sftdiag.samples import IGNORE_INDEX, Sample  # noqa: E402

pytestmark = pytest.mark.slow

ASK = sftdiag.Probes(["answers-of-other-rows"], seconds=60)
WORDS = 12
Row = tuple[list[int], list[int]]


@cache
def vocabulary() -> tuple[list[int], list[int], list[int]]:
    """Return words of prompts, words of answers, and the tokens user, assistant, end."""
    tokenizer = finetune.make_tokenizer()
    special = set(tokenizer.all_special_ids)
    words = [token for token in range(len(tokenizer)) if token not in special]
    marks = [
        tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("user", "assistant", "end")
    ]
    words = [word for word in words if word not in marks]
    return words[:WORDS], words[WORDS : 2 * WORDS], marks


def row(asked: list[int], said: list[int]) -> Row:
    _, _, (user, assistant, end) = vocabulary()
    prompt = [user, *asked, end, assistant]
    return [*prompt, *said, end], [IGNORE_INDEX] * len(prompt) + [*said, end]


def pairs(count: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Return prompts, and answers that say each of their words in another language."""
    here, there, _ = vocabulary()
    translated = dict(zip(here, there, strict=True))
    draw = random.Random(seed)
    asked = list({tuple(draw.choices(here, k=4)) for _ in range(count)})
    draw.shuffle(asked)
    return [(list(words), [translated[word] for word in words]) for words in asked]


def rows(count: int, seed: int, *, shuffled: bool = False) -> list[Row]:
    found = pairs(count, seed)
    said = [answer for _, answer in found]
    if shuffled:
        random.Random(seed).shuffle(said)
    return [row(asked, answer) for (asked, _), answer in zip(found, said, strict=True)]


@cache
def reader() -> Any:
    """Return the weights of a model that learned the language."""
    model = finetune.make_model(finetune.make_tokenizer())
    assert tiny_models.train(model, rows(800, 0), steps=250) < 0.7
    return model.state_dict()


def run(
    folder: Path, train: list[Row], evaluated: list[Row], *, reads: bool = True, probes: Any = ASK
) -> Any:
    trainer = finetune.make_trainer("none", folder, max_steps=6, eval_steps=3)
    if reads:
        trainer.model.load_state_dict(reader())
    for name, chosen in (("train_dataset", train), ("eval_dataset", evaluated)):
        table = [{"input_ids": ids, "labels": labels} for ids, labels in chosen]
        setattr(trainer, name, Dataset.from_list(table))
    callback = sftdiag.attach(trainer, probes=probes)
    trainer.train()
    finetune.save_log(trainer, folder)
    return trainer, callback


def told(report: Any) -> list[tuple[str, int]]:
    return [(f.series, f.fired_step) for f in report.findings if f.code == "SFT419"]


def test_shuffled_answers_are_told_by_a_model_that_reads(tmp_path: Path) -> None:
    _, callback = run(tmp_path, rows(300, 1, shuffled=True), rows(100, 2))
    assert told(callback.report) == [("train", 0)]
    (found,) = [f for f in callback.report.findings if f.code == "SFT419"]
    assert found.severity is sftdiag.Severity.WARNING
    assert found.causes[0].id == "poor-data"
    assert abs(found.evidence["gain"]) < 3 * found.evidence["error"]
    assert found.evidence["other_gain"] > 2
    assert told(sftdiag.analyze(tmp_path)) == [("train", 0)]


def test_own_answers_are_judged_and_left_alone(tmp_path: Path) -> None:
    _, callback = run(tmp_path, rows(300, 3), rows(100, 4))
    assert told(callback.report) == []
    assert "answers-of-other-rows" in callback.report.ran


@pytest.mark.parametrize(
    ("shuffled", "reads"),
    [((True, True), True), ((True, False), False), ((False, False), False)],
    ids=["both sets are shuffled", "it cannot read, shuffled", "it cannot read, sound"],
)
def test_what_is_not_judged(tmp_path: Path, shuffled: tuple[bool, bool], reads: bool) -> None:
    train, evaluated = (
        rows(count, seed, shuffled=mixed)
        for (count, seed), mixed in zip(((300, 5), (100, 6)), shuffled, strict=True)
    )
    _, callback = run(tmp_path, train, evaluated, reads=reads)
    assert told(callback.report) == []
    assert "answers-of-other-rows" in callback.report.skipped
    assert "answers-of-other-rows" in callback.report.asked
    assert "does not tell either" in str(callback.report)


def test_nothing_of_the_run_changes(tmp_path: Path) -> None:
    train, evaluated = rows(300, 7, shuffled=True), rows(100, 8)
    logs = []
    for probes in (None, ASK):
        trainer, _ = run(tmp_path / str(probes is None), train, evaluated, probes=probes)
        logs.append([(r.get("loss"), r.get("eval_loss")) for r in trainer.state.log_history])
    assert logs[0] == logs[1]


def test_without_probes_the_model_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def asked(*given: Any) -> dict[str, Any]:
        calls.append(given)
        return {}

    monkeypatch.setattr("sftdiag.probing.prober.swapped.gains", asked)
    for probes in (None, sftdiag.Probes(["forgetting"], texts=tiny_models.GENERAL, seconds=60)):
        _, callback = run(tmp_path, rows(300, 9, shuffled=True), rows(100, 10), probes=probes)
        assert told(callback.report) == []
        assert "failed" not in str(callback.report.skipped)
        assert calls == []


def test_a_fault_in_asking_costs_no_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr("sftdiag.probing.prober.swapped.gains", broken)
    _, callback = run(tmp_path, rows(300, 11), rows(100, 12))
    assert "the probes" in caplog.text
    assert "answers-of-other-rows" in callback.report.skipped
    assert len(callback.report.ran) > 5


def test_swaps_leave_out_what_says_nothing() -> None:
    def sample(prompt: int, answer: int) -> Sample:
        ids = (1, prompt, 2, answer, 3)
        return Sample(ids, (IGNORE_INDEX,) * 3 + ids[3:])

    assert swaps([sample(7, n) for n in range(40)]) == []  # one prompt
    assert swaps([sample(n, 7) for n in range(40)]) == []  # one answer
    found = swaps([sample(100 + n, 200 + n) for n in range(300)])
    assert len(found) == ROWS
    assert all(swap.own != swap.other for swap in found)
    text = Sample((5, 6, 7), (5, 6, 7))
    assert swaps([text] * 30) == []  # no prompt


def test_a_finished_model_has_no_rows_to_be_asked_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="before training"):
        probe_model(str(tmp_path), ASK, Settings())
