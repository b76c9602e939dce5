from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdiag.records import LogRecord, as_float, as_step, is_plain_name, parse_entry


def one(entry: dict[str, object]) -> LogRecord:
    (record,) = parse_entry(entry)
    return record


def test_a_train_row() -> None:
    record = one({"step": 5, "epoch": 0.5, "loss": 2, "learning_rate": 0, "GPU": "A100"})
    assert record.kind == "train"
    assert record.step == 5
    assert record.metrics == {"loss": 2.0, "learning_rate": 0.0}


@pytest.mark.parametrize("value", ["NaN", "nan", float("nan")])
def test_nan_is_kept_also_as_a_string(value: object) -> None:
    record = one({"step": 1, "loss": value})
    assert math.isnan(record.metrics["loss"])
    assert record.finite("loss") is None


def test_the_closing_summary_is_no_train_row() -> None:
    record = one({"step": 9, "train_runtime": 3.0, "train_loss": 1.0, "total_flos": 1.0})
    assert record.kind == "summary"


def test_train_runtime_in_a_loss_row_does_not_make_it_a_summary() -> None:
    assert one({"step": 9, "loss": 1.0, "train_runtime": 3.0}).kind == "train"


@pytest.mark.parametrize(
    "entry",
    [
        {"loss": 1.0},
        {"step": None, "loss": 1.0},
        {"step": -1, "loss": 1.0},
        {"step": float("nan"), "loss": 1.0},
        {"step": 3, "predict_loss": 1.0},
        {"step": 3, "Speed": "1 it/s"},
    ],
)
def test_rows_that_are_no_data(entry: dict[str, object]) -> None:
    assert parse_entry(entry) == ()


def test_a_row_with_both_losses_is_two_records() -> None:
    train, evaluation = parse_entry({"step": 3, "loss": 1.0, "eval_loss": 2.0})
    assert (train.kind, evaluation.kind) == ("train", "eval")
    assert evaluation.eval_losses() == {"eval_loss": 2.0}


@pytest.mark.parametrize(
    ("metrics", "series"),
    [
        ({"eval_web_loss": 2.0, "eval_entropy": 1.0}, {"eval_web_loss"}),
        ({"eval_ce_loss": 2.0, "eval_kl_loss": 1.0}, set()),
        ({"eval_loss": 2.0, "eval_aux_loss": 1.0}, {"eval_loss"}),
        ({"eval_aux_loss": 1.0, "eval_runtime": 1.0}, set()),
    ],
)
def test_a_named_evaluation_of_a_loop_stands_alone_in_its_row(
    metrics: dict[str, float], series: set[str]
) -> None:
    assert one({"step": 3, **metrics}).eval_losses().keys() == series


def test_named_evaluations_need_a_runtime() -> None:
    record = one(
        {
            "step": 3,
            "eval_a/b_loss": 1.0,
            "eval_a/b_runtime": 1.0,
            "eval_sft_loss": 9.0,
            "eval_x": 1,
        }
    )
    assert record.eval_losses() == {"eval_a/b_loss": 1.0}


def test_other_writers_names() -> None:
    assert one({"step": 1, "loss": 1.0, "lr": 5}).metrics["learning_rate"] == 5.0
    tracked = {"train/loss": 1.0, "train/learning_rate": 2e-5, "train/epoch": 0.5}
    record = one({"step": 1, **tracked})
    assert record.metrics == {"loss": 1.0, "learning_rate": 2e-5}
    assert record.epoch == 0.5
    named = {"eval/b_loss": 2.0, "eval/b_runtime": 1.0}
    assert one({"step": 1, "eval/loss": 3.0, **named}).eval_losses() == {
        "eval_loss": 3.0,
        "eval_b_loss": 2.0,
    }


def test_a_train_loss_is_a_rows_own_unless_the_run_is_summed_up() -> None:
    assert one({"step": 9, "train_loss": 1.0}).metrics == {"loss": 1.0}
    for closing in ("train_runtime", "total_flos"):
        assert one({"step": 9, "train_loss": 1.0, closing: 3.0}).kind == "summary"


@pytest.mark.parametrize(
    ("metrics", "lost"),
    [
        ({"loss": float("nan")}, True),
        ({"loss": float("inf")}, True),
        ({"loss": 0.0, "grad_norm": float("nan")}, True),
        ({"loss": 0.0, "entropy": float("nan")}, True),
        ({"loss": 0.0, "grad_norm": 0.0}, False),
        ({"loss": 0.0}, False),
        ({"loss": 1.0, "grad_norm": float("inf")}, False),
    ],
)
def test_a_hidden_nan_is_seen(metrics: dict[str, float], lost: bool) -> None:
    assert one({"step": 1, **metrics}).loss_is_lost() is lost


@pytest.mark.parametrize(
    ("key", "objective"),
    [("reward", "reinforcement"), ("rewards/chosen", "preference"), ("entropy", None)],
)
def test_the_objective(key: str, objective: str | None) -> None:
    assert one({"step": 1, "loss": 0.0, key: 1.0}).objective() == objective


@pytest.mark.parametrize(
    ("value", "read"),
    [(6e300, math.inf), (-6e300, -math.inf), (1e-310, 0.0), (10**400, math.inf), (3.4e38, 3.4e38)],
)
def test_a_number_that_no_float32_can_hold_is_what_one_would_hold(
    value: float, read: float
) -> None:
    assert one({"step": 1, "loss": value}).metrics["loss"] == read


@pytest.mark.parametrize("step", [10**13, 1e30, 10**400, "1e30"])
def test_a_step_beyond_any_plan_is_none(step: object) -> None:
    assert parse_entry({"step": step, "loss": 1.0}) == ()


@pytest.mark.parametrize("epoch", [-1.0, 1e7, math.inf, math.nan, "x", True])
def test_an_epoch_that_no_run_reaches_is_unknown(epoch: object) -> None:
    assert one({"step": 1, "loss": 1.0, "epoch": epoch}).epoch is None


def test_a_negative_norm_is_deepspeeds_overflow_and_a_negative_rate_is_none() -> None:
    record = one({"step": 1, "loss": 0.0, "grad_norm": -1.0, "learning_rate": -1e-5})
    assert math.isnan(record.metrics["grad_norm"])
    assert record.loss_is_lost()
    assert "learning_rate" not in record.metrics


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
keys = st.sampled_from(["step", "loss", "epoch", "eval_loss", "grad_norm", "eval_a_loss", "x"])


@given(st.dictionaries(keys, anything))
def test_no_entry_breaks_the_parser_and_records_survive_json(entry: dict[str, object]) -> None:
    for record in parse_entry(entry):
        assert record.step >= 0
        again = LogRecord.from_dict(record.to_dict())
        assert repr(again) == repr(record)


@given(anything)
def test_numbers(value: object) -> None:
    number, step = as_float(value), as_step(value)
    assert number is None or isinstance(number, float)
    assert step is None or step >= 0


NAMES = (
    *("loss", "step", "epoch", "lr", "token_acc", "train_loss", "grad_norm"),
    *("x", "train_runtime"),
)
BEGINNINGS = ("", "eval_", "eval/", "train/", "train_", "probe/", "guard/", "test_", "val_")


@pytest.mark.parametrize("begins", BEGINNINGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_plain_name_is_kept_as_it_is(begins: str, name: str) -> None:
    name = begins + name
    records = parse_entry({"loss": 2.0, name: 3.0, "step": 5, "epoch": 0.5})
    kept = {"loss": 2.0, **({} if name in ("step", "epoch") else {name: 3.0})}
    assert is_plain_name(name) == (
        [(record.kind, record.metrics) for record in records] == [("train", kept)]
    )


@given(
    st.dictionaries(
        st.sampled_from([b + n for b in BEGINNINGS for n in NAMES]),
        st.floats() | st.integers() | st.sampled_from(["1.5", "nan", None, True, 1e300, 1e-310]),
    )
)
def test_ordinary_rows_are_read_as_all_others(entry: dict[str, object]) -> None:
    """A name that is none of a train row's sends the row the long way; it says nothing itself."""
    entry = {"loss": 1.0, "step": 3, **entry}
    assert repr(parse_entry(entry)) == repr(parse_entry({**entry, "eval/none": "no number"}))
