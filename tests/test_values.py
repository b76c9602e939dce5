from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import (
    Cause,
    Curve,
    Detection,
    Finding,
    Fix,
    Report,
    RowsSeen,
    Severity,
    Status,
    Summary,
)
from sftdiag.records import LogRecord
from sftdiag.samples import Sample
from sftdiag.values import Value

names = st.text("abc-@1", min_size=1, max_size=6)
steps = st.integers(0, 10**6)
numbers = st.floats()
scalars = (
    st.none()
    | st.integers(-(10**6), 10**6)
    | st.text(max_size=5)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(max_size=20)
optional_steps = st.none() | steps

fixes = st.builds(Fix, texts, st.dictionaries(names, st.tuples(scalars, scalars), max_size=2))
causes = st.builds(
    Cause,
    names,
    texts,
    st.sampled_from(Status),
    st.lists(texts, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
    st.none() | names,
    st.lists(fixes, max_size=2).map(tuple),
)
fired = st.dictionaries(st.sampled_from(["info", "warning", "error"]), steps, min_size=1)
findings = st.builds(
    Finding,
    names,
    names,
    names,
    st.sampled_from(Severity),
    names,
    texts,
    texts,
    steps,
    steps,
    fired,
    optional_steps,
    st.none() | names,
    st.none() | texts,
    st.dictionaries(names, scalars, max_size=3),
    st.lists(causes, max_size=2).map(tuple),
)
curves = st.builds(
    Curve, names, st.lists(steps, max_size=3).map(tuple), st.lists(numbers, max_size=3).map(tuple)
)
summaries = st.builds(
    Summary, steps, optional_steps, optional_steps, optional_steps, st.none() | numbers
)
rows_seen = st.builds(RowsSeen, names, steps, optional_steps, numbers)
reports = st.builds(
    Report,
    texts,
    names,
    summaries,
    st.none() | texts,
    st.none() | names,
    st.lists(findings, max_size=2).map(tuple),
    st.lists(names, max_size=2).map(tuple),
    st.dictionaries(names, texts, max_size=2),
    st.lists(rows_seen, max_size=2).map(tuple),
    st.lists(curves, max_size=2).map(tuple),
)
contexts = st.builds(
    RunContext,
    method=st.none() | names,
    vocab_size=optional_steps,
    learning_rate=st.none() | numbers,
    logging_nan_inf_filter=st.none() | st.booleans(),
    target_modules=st.none() | st.lists(names, max_size=2).map(tuple),
)
detections = st.builds(
    Detection,
    names,
    names,
    st.sampled_from(Severity),
    steps,
    steps,
    names,
    st.dictionaries(names, scalars, max_size=2),
    st.booleans(),
    names,
)
samples = st.lists(st.integers(-100, 9), max_size=4).map(lambda ids: Sample(tuple(ids), tuple(ids)))
records = st.builds(LogRecord, names, steps, st.none() | numbers, st.dictionaries(names, numbers))
settings = st.builds(
    Settings, st.frozensets(names), st.frozensets(names), st.sampled_from(Severity), st.just("zh")
)


def same(a: Any, b: Any) -> bool:
    """Equal, with NaN equal to NaN and sets in any order."""
    return json.dumps(a.to_dict(), sort_keys=True) == json.dumps(b.to_dict(), sort_keys=True)


@given(
    st.one_of(
        fixes, causes, findings, curves, summaries, reports, contexts, detections, samples, records
    )
)
def test_every_value_survives_strict_json(value: Value) -> None:
    text = json.dumps(value.to_dict(), allow_nan=False)
    again = type(value).from_dict(json.loads(text))
    assert type(again) is type(value)
    assert repr(again) == repr(value)


def test_values_can_be_pickled_and_share_no_default() -> None:
    fix = Fix("text")
    assert pickle.loads(pickle.dumps(fix)) == fix
    assert fix.changes is not Fix("other").changes
    assert fix.changes == {}


def test_equal_values_have_the_same_hash_however_they_were_made() -> None:
    whole, short = Settings(**Settings().__dict__), Settings(lang="en")
    assert whole == short == Settings(frozenset())
    assert hash(whole) == hash(short) == hash(Settings(frozenset()))
    assert list(short.__dict__) == [*Settings.fields]


def test_values_are_frozen() -> None:
    fix = Fix("text")
    with pytest.raises(AttributeError, match="frozen"):
        fix.text = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del fix.text
    assert fix.replace(text="other") == Fix("other")
    assert fix.text == "text"


def test_wrong_fields_are_named() -> None:
    with pytest.raises(TypeError, match="missing: text; unknown: txt"):
        Fix(txt="a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes text, changes"):
        Fix("a", {}, 3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"epochs": "x"}, "expected one of"),
        ({"records": "3"}, "expected int, got '3'"),
        ([], "expected an object"),
    ],
)
def test_wrong_json_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Summary.from_dict(data)


def test_a_sample_needs_a_label_a_token() -> None:
    with pytest.raises(ValueError, match="2 labels for 1 tokens"):
        Sample((1,), (1, 2))
    assert Sample((1, 2, 3), (5, -100, 3)).supervised_tokens == 1
