"""Which cause comes first, by what the run shows; and which finding explains which."""

from __future__ import annotations

import math
from typing import Any

import pytest
from probes.rows import fed, findings, log_row, row

from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import Finding, Status
from sftdiag.monitor import Monitor
from sftdiag.report.text import render

LOOPS = {"greedy": 0.7, "greedy_error": 0.08}
MARKED = {"marked": 0.6, "marked_error": 0.1}


def evaluated(step: int, loss: float) -> dict[str, Any]:
    return {"step": step, "epoch": step / 100, "eval_loss": loss}


def only(rows: list[dict[str, Any]], **context: Any) -> Finding:
    (found,) = [f for f in findings(rows, **context) if f.code.startswith("SFT3")]
    return found


def first(finding: Finding) -> tuple[str, str]:
    return finding.causes[0].id, finding.causes[0].status.name


def repeating(**changed: float) -> list[dict[str, Any]]:
    name = "repetitive-output"
    return [row(name, 0, before=True), row(name, 100, **LOOPS, **changed)]


def test_repeats_only_when_greedy() -> None:
    assert first(only(repeating())) == ("sampling-temperature", "LIKELY")


def test_repeats_of_an_overfitted_model() -> None:
    rows = [evaluated(50, 1.0), evaluated(100, 1.3), *repeating(sampled=0.6)]
    found = only(rows)
    assert first(found) == ("overfitting", "LIKELY")
    status = {cause.id: cause.status for cause in found.causes}
    assert status["sampling-temperature"] is Status.RULED_OUT


def test_repeats_of_answers_that_are_alike() -> None:
    found = only(repeating(sampled=0.6, reference_distinct=0.3, distinct=0.25))
    assert first(found) == ("low-diversity-data", "LIKELY")


def test_the_same_reply_to_every_prompt() -> None:
    name = "repetitive-output"
    alike = {"distinct": 0.1, "distinct_error": 0.03}
    found = only([row(name, 0, before=True), row(name, 100, **alike)])
    assert "bigrams" in found.message


@pytest.mark.parametrize(
    ("rate", "epoch", "context", "cause"),
    [
        (1e-3, 1.0, {"method": "full"}, "learning-rate-too-high"),
        (2e-5, 9.0, {"method": "full"}, "too-many-epochs"),
        (2e-4, 1.0, {"method": "lora", "lora_r": 256}, "lora-rank-too-large"),
        (2e-5, 1.0, {"method": "full"}, "forgetting"),
    ],
)
def test_why_it_forgets(rate: float, epoch: float, context: dict[str, Any], cause: str) -> None:
    log = [
        {"step": s, "epoch": epoch * s / 100, "loss": 2.0 - s / 200, "learning_rate": rate}
        for s in range(1, 101)
    ]
    found = only([*log, row("forgetting", 100, loss=3.4, rise=0.9)], **context)
    assert first(found) == (cause, "LIKELY")
    assert "2.46 times" in found.message


def test_a_finished_model_that_forgot_is_told_each_advice_once() -> None:
    report = fed([row("forgetting", 0, loss=3.4, rise=0.9)], max_steps=None).report()
    shown = render(report, detail="full")
    advice = shown[shown.index("these are guesses") :]
    assert advice.count("lower the learning rate") == 1
    assert advice.count("train fewer epochs") == 1
    assert "mix general text" in advice


@pytest.mark.parametrize(
    ("rise", "en", "zh"),
    [
        (6.9, "992 times as hard", "变为原来的 992 倍"),
        (6.9076, "at least 1,000 times as hard", "至少为原来的 1,000 倍"),
        (15.07, "at least 1,000 times as hard", "至少为原来的 1,000 倍"),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_a_factor_beyond_words_is_told_as_a_bound(
    rise: float, en: str, zh: str, given: bool
) -> None:
    start = "given_" if given else ""
    measures = {"texts": 16.0, "loss": 2.5 + rise, "before": 2.5, "rise": rise, "rise_error": 0.1}
    asked = {f"probe/forgetting/{start}{name}": value for name, value in measures.items()}
    log = [log_row(step, 2.0 - step / 200) for step in range(1, 101)]
    for lang, words in (("en", en), ("zh", zh)):
        monitor = Monitor(RunContext(max_steps=100), Settings(lang=lang))
        for entry in [*log, {"step": 100, **asked}]:
            monitor.feed_entry(entry)
        (found,) = [f for f in monitor.report().findings if f.code == "SFT302"]
        (moved,) = [c for c in found.causes if c.id == "forgetting"]
        assert words in found.message
        assert "e+" not in found.message + "".join(moved.because)
        assert ("1,000" in moved.because[0]) == ("1,000" in words)
        assert found.evidence["factor"] == pytest.approx(math.exp(rise))


def test_an_end_of_turn_that_is_not_trained() -> None:
    never = {"ended": 0.0, "ended_error": 0.0, "end_probability": 1e-4}
    name = "unnatural-replies"
    assert first(only([row(name, 100, **never, reference_ends=0.0)])) == (
        *("chat-template", "CONFIRMED"),
    )
    assert first(only([row(name, 100, **never)])) == ("chat-template", "LIKELY")
    long = only([row(name, 100, **{**never, "ended": None}, length=None)])
    assert "probability of 0.0001" in long.message


def test_template_tokens_in_the_answers_or_not() -> None:
    name = "unnatural-replies"
    assert first(only([row(name, 100, **MARKED)])) == ("chat-template", "LIKELY")
    taught = only([row(name, 100, **MARKED, reference_marked=0.5)])
    assert first(taught) == ("poor-data", "LIKELY")


def test_odd_lengths() -> None:
    short = only([row("unnatural-replies", 100, length=-2.0, length_error=0.1)])
    assert first(short) == ("poor-data", "LIKELY")
    assert "0.14 times" in short.message


def test_ends_are_not_asked_of_a_model_that_has_just_begun() -> None:
    never = {"ended": 0.0, "ended_error": 0.0, "end_probability": 1e-4}
    rows = [row("unnatural-replies", step, **never) for step in (10, 20, 30, 40)]
    assert findings(rows) == ()


def test_a_base_model_that_loops_and_does_so_no_more_is_no_fault() -> None:
    """Greedy base models repeat; what counts is the best of the run."""
    name = "repetitive-output"
    course = [0.6, 0.6, 0.4, 0.2, 0.05, 0.03, 0.02]
    rows = [
        row(name, 10 * i, before=i == 0, greedy=share, greedy_error=0.08)
        for i, share in enumerate(course)
    ]
    assert findings(rows) == ()
    again = [row(name, step, greedy=0.6, greedy_error=0.08) for step in (70, 80)]
    (found,) = findings([*rows, *again])
    assert (found.onset_step, found.fired_step) == (70, 80)


def test_a_reply_that_does_not_end_explains_its_circles() -> None:
    never = {"ended": 0.0, "ended_error": 0.0, "end_probability": 1e-4}
    both = {**repeating()[1], **row("unnatural-replies", 100, **never)}
    found = {f.code: f for f in findings([log_row(99), both])}
    assert found["SFT301"].consequence_of == found["SFT303"].id
