"""Rows taken in many at once leave everything as one by one: every state, and every report."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import Row, healthy, noisy, overfitting, train_rows
from mutated import files

from sftdiag.context import RunContext
from sftdiag.detectors import DETECTORS, Detector, _stretches
from sftdiag.errors import SourceError
from sftdiag.monitor import Monitor
from sftdiag.signals.rows import COLUMNS, SHORTEST, Lines, Rows, rows_of
from sftdiag.signals.stream import Signals
from sftdiag.sources import open_run
from sftdiag.sources.journal import Segment

NO_STATE = ("_thrown", "windows", "_floor", "_made")
"""Kept from look to look and computed anew before it is used, or made when it is asked for."""


def state(value: Any) -> Any:
    """Return all that an object holds, numbers to the last bit."""
    if isinstance(value, Mapping):
        return {str(key): state(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, deque, set, frozenset)):
        return [state(item) for item in value]
    # A compiled class tells its attributes under a name of its own.
    kinds, where = type(value).__mro__, ("__slots__", "__mypyc_attrs__")
    slots = [name for kind in kinds for each in where for name in vars(kind).get(each, ())]
    slots = [name for name in slots if name != "__dict__"]
    held = {name: getattr(value, name) for name in slots} | getattr(value, "__dict__", {})
    if not held or isinstance(value, type):
        return type(value).__name__, repr(value)
    return type(value).__name__, {
        name: state(item)
        for name, item in held.items()
        if name not in NO_STATE and not name.endswith("_then") and name != "_gradient"
    }


def same(rows: Sequence[Mapping[str, Any]], context: RunContext | None = None) -> int:
    """Check that a replay is as rows one by one; return how many rows were taken in at once."""
    taken = 0

    class Counting:
        def __init__(self, entries: list[Mapping[str, Any]]) -> None:
            self._count, self._looked = len(entries), _stretches.Stretches(entries)

        def __iter__(self) -> Iterator[Mapping[str, Any]]:
            nonlocal taken
            # A row that is not given was taken in with one that is.
            taken = self._count
            for entry in self._looked:
                taken -= 1
                yield entry

        def taken(self, *given: Any) -> bool:
            return self._looked.taken(*given)

    known = context or RunContext()
    together, apart = Monitor(known), Monitor(known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sftdiag.monitor.Stretches", Counting)
        together.replay(list(rows), (Segment(0, known),))
    for row in rows:
        apart.feed_entry(row)
    assert state(together) == state(apart)
    assert json.dumps(together.report().to_dict()) == json.dumps(apart.report().to_dict())
    return taken


def long_log(steps: int, noise: float, seed: int, every: int, **constant: float) -> list[Row]:
    """Return a log with rates, accuracies and evaluations, as TRL writes it."""
    draw = random.Random(seed)
    rows: list[Row] = []
    for step, loss in enumerate(
        noisy([1.0 + 2.0 / (1 + 20 * s / steps) for s in range(steps)], noise, seed), start=1
    ):
        row = {"loss": loss, "grad_norm": draw.lognormvariate(0, 0.2)}
        row |= {"learning_rate": 2e-5 * (1 - step / (steps + 1)), "entropy": loss * 0.98}
        row |= {"mean_token_accuracy": 0.7 + 0.1 * step / steps, "num_tokens": 512.0 * step}
        rows.append({**row, "epoch": 3 * step / steps, "step": step, **constant})
        if step % every == 0:
            rows.append({"step": step, "epoch": 3 * step / steps, "eval_loss": loss + 0.1})
    return rows


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1, 0.4])
@pytest.mark.parametrize("every", [50, 10_000])
def test_a_long_log_is_mostly_taken_in_at_once(noise: float, every: int) -> None:
    rows = long_log(3000, noise, seed=1, every=every)
    # Noise of 40 % jumps at every turn: there nothing is, but all is told alike.
    assert same(rows) >= (0.5 if noise < 0.4 else 0.0) * len(rows)


def lines(rows: list[Row]) -> Lines:
    """Return rows by their columns; what no detector reads of a row stands beside them."""
    names = [name for name in COLUMNS if name in rows[0]]
    columns = {name: [row[name] for row in rows] for name in names}
    known = Lines([row["step"] for row in rows], columns, {"num_tokens": 512.0})
    assert [*known] == [{**row, "num_tokens": 512.0} for row in rows]
    return known


@pytest.mark.parametrize("apart", [10, 50])
@pytest.mark.parametrize("slower", [1.0, 3.0])
def test_single_steps_are_taken_in_at_once_too(apart: int, slower: float) -> None:
    """Those of a log row; a run that becomes slower for good is told at the same step."""
    rows = [row for row in long_log(3000, 0.05, seed=3, every=10_000) if "loss" in row]
    draw = random.Random(4)
    for row in rows:
        pace = slower if row["step"] > 2000 else 1.0
        row |= {"step_seconds": pace * draw.lognormvariate(-3, 0.05), "step_tokens": 4096.0}
        row["num_tokens"] = 512.0
    assert same(rows) >= 0.5 * len(rows)
    together, columns, alone = Monitor(), Monitor(), Monitor()
    expected = [found for row in rows if (found := alone.feed_entry(row))]
    parts = [rows[at : at + apart] for at in range(0, len(rows), apart)]
    for monitor, given_rows in ((together, parts), (columns, map(lines, parts))):
        fed = map(monitor.feed_entries, given_rows)
        assert [found for stretch in fed for found in stretch if found] == expected
        assert state(monitor) == state(alone)
    codes = [finding.code for finding in together.report().findings]
    assert ("SFT115" in codes) is (slower > 1)


def test_random_weights_are_taken_in_at_once_too() -> None:
    """A loss that falls from ln V, and stays above half of it: no level is one that is told."""
    context = RunContext(max_steps=3000, vocab_size=512)
    rows = [row for row in long_log(3000, 0.02, seed=5, every=10_000) if "loss" in row]
    for row in rows:
        row["loss"] = min(row["loss"] * 0.8 + 3.6, 6.24 - 0.001 * row["step"] % 0.01)
    assert same(rows, context) >= 0.5 * len(rows)


@pytest.mark.parametrize("kind", DETECTORS, ids=lambda kind: kind.name)
def test_every_detector_says_when_many_rows_change_nothing(kind: type[Detector]) -> None:
    """One that does not has every log fed row by row."""
    shown = not kind.evaluations_only and not kind.only
    assert not shown or kind.passes is not Detector.passes


def spiked(rows: list[Row], draw: random.Random) -> None:
    for _ in range(draw.randrange(1, 6)):
        row = draw.choice(rows)
        name = draw.choice(["loss", "grad_norm", "learning_rate", "mean_token_accuracy", "epoch"])
        if name in row:
            row[name] = draw.choice([0.0, 1e-9, 4.0, 9.0, 1e9, float("nan"), "nan", 2, None])


def shifted(rows: list[Row], draw: random.Random) -> None:
    """Change the level, the noise or the gradient from somewhere on."""
    start, factor = draw.randrange(len(rows)), draw.choice([0.01, 0.5, 1.3, 2.5, 10.0])
    name = draw.choice(["loss", "grad_norm", "learning_rate", "mean_token_accuracy"])
    for row in rows[start:]:
        if type(row.get(name)) is float:
            row[name] *= factor


def bumped(rows: list[Row], draw: random.Random) -> None:
    """Raise or lower some rows, fewer than a block or more."""
    start, factor = draw.randrange(len(rows)), draw.choice([0.05, 0.6, 0.8, 1.1, 1.2, 1.3, 1.5])
    for row in rows[start : start + draw.choice([1, 2, 3, 5, 8, 20, 60])]:
        if type(row.get("loss")) is float:
            row["loss"] *= factor


def dropped(rows: list[Row], draw: random.Random) -> None:
    """Log a metric no more, or rows no more, from somewhere on; or go back."""
    start = draw.randrange(len(rows))
    what = draw.choice(["epoch", "grad_norm", "mean_token_accuracy", "rows", "back"])
    if what == "rows":
        del rows[start : start + draw.randrange(1, 200)]
    elif what == "back":
        rows[start:start] = [dict(row) for row in rows[max(0, start - 90) : start]]
    else:
        for row in rows[start:]:
            row.pop(what, None)


CONTEXTS = (
    RunContext(),
    RunContext(max_steps=1200, vocab_size=151_936, lr_scheduler_type="linear"),
    RunContext(world_size=4),
    RunContext(vocab_size=40, custom_loss=None, lost_state_steps=(400,)),
)


def changed_log(seed: int) -> list[Row]:
    """Return a log of up to 1,200 steps to which up to five things happen."""
    draw = random.Random(seed)
    every = draw.choice([7, 50, 9_999])
    rows = long_log(draw.randrange(20, 1200), draw.choice([0.0, 0.01, 0.05, 0.2]), seed, every)
    for change in draw.choices((spiked, shifted, bumped, dropped), k=draw.randrange(6)):
        change(rows, draw)
    return rows


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from(CONTEXTS))
def test_whatever_happens_in_a_long_log(seed: int, context: RunContext) -> None:
    same(changed_log(seed), context)


def in_bytes(monitor: Monitor) -> bytes:
    """Return the report as ``--format json`` writes it."""
    return json.dumps(monitor.report().to_dict(), ensure_ascii=False, allow_nan=False).encode()


def fed_in_parts(monitor: Monitor, rows: Sequence[Row], draw: random.Random) -> list[Any]:
    """Feed a log as a callback that sees every step does; return what was told on the way."""
    told: list[Any] = []
    start = 0
    while start < len(rows):
        end = start + draw.choice([1, 10, 50, 200])
        for found in monitor.feed_entries(list(rows[start:end])):
            told += (finding.to_dict() for finding in found)
        start = end
    return told


PARTS, LOGS = 20, 10_000


@pytest.mark.acceptance
@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_logs_offline_and_live(part: int) -> None:
    """To the last byte: a file's replay, rows in parts, and each row alone; and what was told."""
    fired = 0
    for seed in range(part, LOGS, PARTS):
        rows, context = changed_log(seed), CONTEXTS[seed // PARTS % len(CONTEXTS)]
        alone, offline, parts = Monitor(context), Monitor(context), Monitor(context)
        told = [finding.to_dict() for row in rows for finding in alone.feed_entry(row)]
        offline.replay(list(rows), (Segment(0, context),))
        assert fed_in_parts(parts, rows, random.Random(seed)) == told, seed
        assert in_bytes(alone) == in_bytes(offline) == in_bytes(parts), seed
        fired += bool(told)
    # The logs are worth their time: many are told something of, and not all.
    assert 0.1 * LOGS / PARTS < fired < LOGS / PARTS


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(content=files())
def test_mutated_logs(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    path.write_bytes(content)
    try:
        run = open_run(path)
        rows = list(run.entries)
    except SourceError:
        return
    same(rows, run.context)


@pytest.mark.parametrize("rows", [healthy(900), overfitting(900)], ids=["healthy", "overfitting"])
def test_logs_without_some_columns(rows: list[Row]) -> None:
    assert same(rows) > 0
    assert same([{k: v for k, v in row.items() if k not in ("epoch", "grad_norm")} for row in rows])


@pytest.mark.acceptance
def test_every_labelled_log(corpus: Path) -> None:
    taken = 0
    for path in sorted(corpus.rglob("*.json")):
        try:
            run = open_run(path)
        except SourceError:
            continue
        taken += same(list(run.entries), run.context)
    assert taken > 10_000


def test_a_resume_is_not_passed_over() -> None:
    rows = long_log(900, 0.02, 3, 9_999)
    changed = {"learning_rate": (2e-5, 1e-5)}
    parts = (Segment(0, RunContext()), Segment(700, RunContext(learning_rate=1e-5), changed))
    monitor = Monitor()
    monitor.replay(rows, parts)
    assert monitor.signals.first_step == 701
    assert monitor.signals.train_rows == 200


def test_a_detector_that_fails_in_many_rows_shows_it_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: object, signals: Signals, rows: Rows) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(DETECTORS[0], "passes", broken)
    assert same(long_log(600, 0.02, 1, 50)) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"loss": 0.0},
        {"loss": -1.0},
        {"loss": 2},
        {"loss": "2.0"},
        {"loss": float("nan")},
        {"loss": float("inf")},
        {"loss": 1e300},
        {"step": 3},
        {"step": 7.0},
        {"step": True},
        {"grad_norm": None},
        {"epoch": 1e7},
        {"more": 1.0},
        {"eval_loss": 1.0},
    ],
)
def test_only_ordinary_rows_make_a_stretch(change: dict[str, Any]) -> None:
    rows = train_rows([2.0] * 20, grad_norm=1.0)
    assert rows_of(rows, 0, 100)[0] is not None
    rows[7] = {**rows[7], **change}
    found, end = rows_of(rows, 0, 100)
    assert end > 0
    if found is not None:
        assert found.count == 7 >= SHORTEST
        assert {"more", "eval_loss"} & change.keys()
