from __future__ import annotations

from math import e, inf

import pytest

from sftdiag.columns import NAMES, Columns, canonical, given
from sftdiag.errors import ConfigError


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("loss", "loss"),
        ("train/loss", "loss"),
        ("train_loss_step", "loss"),
        ("reduced_train_loss", "loss"),
        ("lm loss", "loss"),
        ("Training Loss", "loss"),
        ("Validation Loss", "eval_loss"),
        ("val_loss", "eval_loss"),
        ("val/loss", "eval_loss"),
        ("eval/code_loss", "eval_code_loss"),
        ("lr", "learning_rate"),
        ("lr-AdamW", "learning_rate"),
        ("learning rate", "learning_rate"),
        ("token_acc", "mean_token_accuracy"),
        ("grad norm", "grad_norm"),
        ("train/train_loss", "train_loss"),
        ("train_runtime", "train_runtime"),
        ("happy-sun-3 - train/loss", "loss"),
        ("gpu", None),
        ("loss scale", None),
        ("step", None),
    ],
)
def test_what_tools_call_the_trainers_metrics(tool: str, name: str | None) -> None:
    assert canonical(tool) == name


def test_no_name_stands_twice_in_the_table() -> None:
    names = [name for others in NAMES.values() for name in others]
    assert len(names) == len(set(names))
    assert not set(names) & set(NAMES)


def test_the_trainers_own_step_is_taken_where_it_stands_beside_a_count_of_log_calls() -> None:
    columns = Columns()
    assert columns.row({"_step": 0, "train/loss": 2.0})["step"] == 0
    row = columns.row({"_step": 7, "train/global_step": 40, "train/loss": 1.5})
    assert row["step"] == 40
    assert columns.step_column == "train/global_step"
    assert columns.seen["_step"] is None


def test_a_step_with_the_plan_behind_it() -> None:
    columns = Columns()
    row = columns.row({"loss": 1.0, "global_step/max_steps": "4/24"})
    assert row == {"loss": 1.0, "step": 4}
    assert columns.max_steps == 24


def test_the_users_word_wins_over_the_table() -> None:
    columns = Columns({"loss": "my/loss", "step": "tick"})
    row = columns.row({"my/loss": 1.0, "loss": 9.0, "tick": 3, "step": 8})
    assert (row["loss"], row["step"]) == (1.0, 3)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([{"ppl": e, "eval_ppl": e * e}], [{"loss": 1.0, "eval_loss": 2.0}]),
        ([{"perplexity": "inf", "Val PPL": e}], [{"loss": inf, "eval_loss": 1.0}]),
        ([{"ppl": 9, "loss": 2.5}], [{"ppl": 9, "loss": 2.5}]),
        ([{"eval_ppl": 9, "eval_loss": 2.5}], [{"eval_ppl": 9, "eval_loss": 2.5}]),
        ([{"loss": 2.5}, {"eval_ppl": e}], [{"loss": 2.5}, {"eval_loss": 1.0}]),
        ([{"perplexity": 9, "eval_loss": 2.5}], [{"eval_loss": 2.5}]),
        ([{"train_nll": 1.5, "val_nll": 2.5}], [{"loss": 1.5, "eval_loss": 2.5}]),
        ([{"loss": 1.5, "lr(1e-3)": "0.02"}], [{"loss": 1.5, "learning_rate": 2e-5}]),
    ],
)
def test_perplexities_tell_the_loss_where_nothing_else_does(
    rows: list[dict[str, object]], wanted: list[dict[str, object]]
) -> None:
    columns = Columns()
    for row in rows:
        columns.learn(row)
    assert [columns.row(row) for row in rows] == wanted


def test_what_is_not_known_keeps_its_name() -> None:
    columns = Columns()
    assert columns.row({"loss": 1.0, "reward": 0.5, "gpu": ""}) == {"loss": 1.0, "reward": 0.5}
    assert columns.seen == {"loss": "loss", "reward": None, "gpu": None}


def test_arguments_that_are_no_columns() -> None:
    assert given(["loss=a,step=b", "eval_loss=c d"]) == {
        "loss": "a",
        "step": "b",
        "eval_loss": "c d",
    }
    for bad in ("loss", "loss=", "lose=x"):
        with pytest.raises(ConfigError, match="--columns"):
            given([bad])
