"""steps.bin is readable after any accident, and puts each step where its log row's mean was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from math import nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdiag.monitor import Monitor
from sftdiag.sources import every_step
from sftdiag.sources.every_step import Merger, Step

FILE = Path(*every_step.STEPS_FILE)
numbers = st.floats(width=32)
known = st.none() | st.floats(0, 1e6, width=32)


@st.composite
def some_steps(draw: Any, most: int = 12) -> list[Step]:
    first, count = draw(st.integers(1, 1000)), draw(st.integers(0, most))
    return [
        Step(first + i, draw(numbers), *(draw(known) for _ in Step._fields[2:]))
        for i in range(count)
    ]


def content(kept: list[Step]) -> bytes:
    return every_step.header() + every_step.packed(kept)


@given(some_steps())
def test_what_is_read_reads_the_same_again(kept: list[Step]) -> None:
    once = every_step.unpacked(every_step.packed(kept))
    assert [step.step for step in once] == [step.step for step in kept]
    assert repr(every_step.unpacked(every_step.packed(once))) == repr(once)
    assert repr(every_step.decoded(every_step.encoded(once))) == repr(once)


@st.composite
def alike(draw: Any, most: int = 12) -> list[Step]:
    """Steps of which all have the same columns, but one here and there."""
    first, count = draw(st.integers(1, 1000)), draw(st.integers(1, most))
    whole = draw(st.sets(st.sampled_from(Step._fields[2:])))
    odd = draw(st.sets(st.integers(0, 8 * count), max_size=1))
    return [
        Step(
            first + i,
            draw(numbers if i in odd else st.floats(0.125, 9, width=32)),
            *(
                draw(known if i in odd else st.floats(0.125, 9, width=32))
                if name in whole
                else None
                for name in Step._fields[2:]
            ),
        )
        for i in range(count)
    ]


@given(
    kept=some_steps() | alike(),
    beside=st.dictionaries(st.sampled_from(["entropy", "num_tokens", "more"]), known),
    trained=st.booleans(),
    off=st.sampled_from([0, 0, 0, 1]),
)
def test_steps_taken_as_columns_are_the_rows_that_they_are(
    kept: list[Step], beside: dict[str, Any], trained: bool, off: int
) -> None:
    row = {"loss" if trained else "eval_loss": 1.0, "learning_rate": 2e-5, **beside}
    row["step"] = kept[-1].step + off if kept else 3
    one, other = Merger([{"loss": 2.0, "more": 5.0}]), Merger([{"loss": 2.0, "more": 5.0}])
    rows = every_step.packed(kept)
    as_rows = [*one.rows(every_step.unpacked(rows), row)]
    as_columns = other.kept(rows, row)
    sort = [dict(sorted(each.items())) for each in as_columns]
    assert repr(sort) == repr([dict(sorted(each.items())) for each in as_rows])
    assert repr(other._beside) == repr(one._beside)
    if any(step.skipped is not None for step in kept):
        return  # For no reason that there is: no report can tell it.
    monitors = Monitor(), Monitor()
    for monitor, given_rows in zip(monitors, (as_rows, as_columns), strict=True):
        for _ in monitor.feed_entries(given_rows):
            pass
    assert repr(monitors[0].report()) == repr(monitors[1].report())


@given(st.floats(width=32) | st.integers(-300, 300).map(lambda n: n / 1024))
def test_numbers_have_the_digits_of_a_float32(number: float) -> None:
    (step,) = every_step.unpacked(every_step.packed([Step(1, 1.0, None, number)]))
    shown = None if number == every_step.UNKNOWN else float(f"{number:.7g}")
    assert repr(step.learning_rate) == repr(shown)


@settings(max_examples=50)
@given(kept=some_steps(), cut=st.integers(0, 400))
def test_a_file_cut_off_anywhere_is_read_up_to_its_last_whole_row(
    kept: list[Step], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "cut"
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = content(kept)
    path.write_bytes(whole[:cut])
    size = 4 * len(Step._fields)
    rows = max(0, (min(cut, len(whole)) - len(every_step.header())) // size)
    read = every_step.read(str(folder))
    assert repr(read) == repr(every_step.unpacked(every_step.packed(kept[:rows])))


def test_a_torn_row_is_replaced_by_the_next(tmp_path: Path) -> None:
    one, two, three = (Step(n, float(n), 1.0) for n in (1, 2, 3))
    every_step.write(str(tmp_path), every_step.packed([one]))
    with (tmp_path / FILE).open("ab") as file:
        file.write(every_step.packed([two])[:7])
    assert every_step.read(str(tmp_path)) == [one]
    every_step.write(str(tmp_path), every_step.packed([two, three]))
    assert every_step.read(str(tmp_path)) == [one, two, three]
    every_step.write(str(tmp_path), every_step.packed([two]), afresh=True)
    assert every_step.read(str(tmp_path)) == [two]


WRITES = """
import sys
from sftdiag.sources import every_step
folder, step = sys.argv[1], 0
while True:
    steps = [every_step.Step(step + n, 1.0 / (step + n), 2.0) for n in range(1, 301)]
    every_step.write(folder, every_step.packed(steps))
    step += 300
    print(step, flush=True)
"""


def test_kill_minus_9_at_any_moment(tmp_path: Path) -> None:
    """What was written before stands there, to its last whole row; what comes next follows it."""
    for attempt in range(8):
        folder = str(tmp_path / str(attempt))
        command = [sys.executable, "-c", WRITES, folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = int(process.stdout.readline())
            time.sleep(random.Random(attempt).uniform(0.0, 0.02))
            os.kill(process.pid, signal.SIGKILL)
            written = max([first, *map(int, process.stdout.read().split())])
        kept = every_step.read(folder)
        assert [step.step for step in kept] == list(range(1, len(kept) + 1))
        assert written <= len(kept) <= written + 300
        losses = [1.0 / step.step for step in kept]
        assert [step.loss for step in kept] == pytest.approx(losses, rel=1e-6)
        every_step.write(folder, every_step.packed([Step(len(kept) + 1, 0.5)]))
        assert every_step.read(folder) == [*kept, Step(len(kept) + 1, 0.5)]


def test_a_column_more_or_less_is_no_obstacle(tmp_path: Path) -> None:
    """Of a later version that is still the same: by their names, columns are found in any order."""
    names = b"loss,more,step  "
    head = every_step.MAGIC + bytes((every_step.VERSION, 0, len(names), 0)) + names
    path = tmp_path / FILE
    path.parent.mkdir()
    from struct import pack

    path.write_bytes(head + pack("<3f", 1.5, 9.0, 7.0))
    assert every_step.read(str(tmp_path)) == [Step(7, 1.5)]


@pytest.mark.parametrize(
    "other",
    [b"", b"{}", b"SFTDSTEP", b"SFTDSTEP\x02\x00\x04\x00step" + bytes(64), content([])[:20]],
)
def test_other_files_hold_no_steps(other: bytes, tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.parent.mkdir()
    path.write_bytes(other)
    assert every_step.read(str(tmp_path)) == []


@settings(max_examples=60, deadline=None)
@given(
    losses=st.lists(st.floats(0, 1e4, width=32) | st.just(nan), min_size=1, max_size=80),
    every=st.integers(1, 20),
    evaluated=st.integers(3, 30),
)
def test_a_log_with_its_steps_is_the_log_of_every_step(
    losses: list[float], every: int, evaluated: int
) -> None:
    """Whatever logging_steps is: the same rows, and so the same findings at the same steps."""
    norms = [nan if loss != loss else 1.0 for loss in losses]
    kept = [Step(i + 1, loss, norms[i], 2e-5) for i, loss in enumerate(losses)]
    whole: list[dict[str, Any]] = []
    sparse: list[dict[str, Any]] = []
    for step in kept:
        row = {"step": step.step, "loss": step.loss, "grad_norm": step.grad_norm}
        whole.append({**row, "learning_rate": 2e-5})
        if step.step % every == 0:
            mean = sum(losses[step.step - every : step.step]) / every
            sparse.append({"step": step.step, "loss": mean, "learning_rate": 2e-5})
        if step.step % evaluated == 0:
            row = {"step": step.step, "eval_loss": 2.0, "eval_runtime": 1.0}
            whole.append(row)
            sparse.append(row)
    merged = every_step.merged(sparse, kept)
    assert repr(merged) == repr(whole)
    one, other = Monitor(), Monitor()
    for row in whole:
        one.feed_entry(row)
    for row in merged:
        other.feed_entry(row)
    assert repr(one.report()) == repr(other.report())


def test_what_a_log_row_says_beside_its_loss_goes_to_each_of_its_steps() -> None:
    kept = [Step(n, 1.0) for n in range(1, 6)]
    log = [
        {"step": 2, "loss": 1.0, "entropy": 0.5},
        {"step": 3, "eval_loss": 1.0},
        {"step": 4, "loss": 1.0, "entropy": 0.7},
    ]
    merged = every_step.merged(log, kept)
    assert [row.get("entropy") for row in merged] == [0.5, 0.5, 0.5, None, 0.7, 0.7]
    assert [row["step"] for row in merged] == [1, 2, 3, 3, 4, 5]
    assert every_step.merged(log, kept, beyond=False) == merged[:-1]


def test_the_log_s_rate_is_kept_where_steps_do_not_tell_theirs() -> None:
    log = [{"step": 2, "loss": 1.0, "learning_rate": 1}, {"step": 4, "loss": 1.0}]
    merged = every_step.merged(log, [Step(n, 1.0) for n in range(1, 5)])
    assert [row.get("learning_rate") for row in merged] == [None, 1.0, None, None]


def test_a_log_row_whose_steps_are_not_there_stays() -> None:
    log = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}]
    merged = every_step.merged(log, [Step(n, 1.5) for n in range(11, 18)])
    assert merged[0] == log[0]
    assert merged[-1] == log[1]
