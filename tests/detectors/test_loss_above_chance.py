from __future__ import annotations

from math import log

import pytest
from logs import Row, feed, fired, train_rows

from sftdiag.context import RunContext


def wrong(
    loss: float = 10.0, entropy: float = 5.0, accuracy: float = 0.01, rows: int = 8
) -> list[Row]:
    losses = [loss - 0.01 * step for step in range(rows)]
    return train_rows(losses, entropy=entropy, mean_token_accuracy=accuracy, grad_norm=3.0)


def test_sure_of_something_else_from_the_first_records() -> None:
    (finding,) = feed(wrong())
    assert (finding.name, finding.severity.label) == ("loss-above-chance", "error")
    assert (finding.onset_step, finding.fired_step) == (1, 2)
    assert finding.causes[0].status.name == "LIKELY"


@pytest.mark.parametrize(
    "change",
    [{"accuracy": 0.1}, {"entropy": 8.0}, {"entropy": 9.9, "accuracy": 0.0}, {"entropy": 0.0}],
)
def test_a_high_first_loss_alone(change: dict[str, float]) -> None:
    assert [name for name, *_ in fired(wrong(**change)) if name == "loss-above-chance"] == []


def test_one_odd_batch() -> None:
    rows = wrong()
    rows[1]["mean_token_accuracy"] = 0.3
    assert fired(rows) == []


def test_a_learning_rate_that_throws_the_model_off_later() -> None:
    rows = wrong()
    rows[0] |= {"mean_token_accuracy": 0.16, "loss": 6.4, "entropy": 4.7}
    assert "loss-above-chance" not in {name for name, *_ in fired(rows)}


def test_the_vocabulary_alone() -> None:
    rows = train_rows([13.0] * 15, learning_rate=2e-5)
    assert fired(rows) == []
    names = {name for name, *_ in fired(rows, RunContext(vocab_size=32_000))}
    assert "loss-above-chance" in names
    rows = train_rows([10.4] * 15, learning_rate=2e-5)
    assert "loss-above-chance" not in {n for n, *_ in fired(rows, RunContext(vocab_size=32_000))}


def test_an_evaluation_below_chance_shows_a_summed_loss() -> None:
    rows = [{"step": 0, "eval_loss": 1.5}, *train_rows([13.0] * 15, learning_rate=2e-5)]
    assert "loss-above-chance" not in {n for n, *_ in fired(rows, RunContext(vocab_size=32_000))}


def test_it_resolves_when_the_tokens_are_predicted() -> None:
    rows = [*wrong(), {"step": 9, "loss": 2.0, "entropy": 2.0, "mean_token_accuracy": 0.5}]
    assert [finding.resolved_step for finding in feed(rows)] == [None, 9]


def test_a_loss_far_above_chance_is_no_mean_over_tokens() -> None:
    rows = train_rows([1300.0] * 60, learning_rate=2e-5)
    assert {name for name, *_ in fired(rows, RunContext(vocab_size=32_000))} == {"implausible-loss"}


def test_the_vocabulary_is_tried_when_the_warm_up_is_over() -> None:
    rows = train_rows([13.0] * 60)
    for row in rows:
        row["learning_rate"] = min(30, row["step"]) * 1e-6
    names = {name for name, *_ in fired(rows, RunContext(vocab_size=32_000))}
    assert "loss-above-chance" in names


def test_a_sum_and_a_loss_of_the_users_own_say_nothing_of_the_labels() -> None:
    """Of a model that knows nothing yet, a loss that is added up: no labels cost so much."""
    context = RunContext(vocab_size=32_000)
    named = {finding.code for finding in feed(wrong(loss=465.0), context)}
    assert "SFT108" not in named
    assert "SFT111" in named
    own = context.replace(custom_loss=True)
    assert [f.code for f in feed(wrong(), own) if f.code == "SFT108"] == []
    assert [f.code for f in feed(wrong(), context) if f.code == "SFT108"] == ["SFT108"]


@pytest.mark.parametrize(("share", "beside"), [(0.3, True), (0.55, False), (0.6, False)])
def test_what_label_smoothing_costs_says_nothing_of_the_labels(share: float, beside: bool) -> None:
    """A pretrained model gives the vocabulary's tokens twice ln V on average."""
    context, guess = RunContext(vocab_size=49_152, label_smoothing=share), log(49_152)
    rows = train_rows([(1 - share) * 2.0 + share * 2 * guess] * 20, learning_rate=2e-5)
    if beside:
        rows = [row | {"entropy": 3.0, "mean_token_accuracy": 0.04} for row in rows]
    assert "SFT108" not in {finding.code for finding in feed(rows, context)}
    without = context.replace(label_smoothing=None)
    assert "SFT108" in {finding.code for finding in feed(rows, without)}


def test_labels_of_another_text_are_seen_beside_a_little_smoothing() -> None:
    context = RunContext(vocab_size=49_152, label_smoothing=0.05)
    assert "SFT108" in {finding.code for finding in feed(wrong(loss=12.5), context)}
