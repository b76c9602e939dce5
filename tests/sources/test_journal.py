from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from logs import healthy, overfitting, write_state

import sftdiag
from sftdiag.context import RunContext
from sftdiag.sources import journal

SLOW = RunContext(learning_rate=1e-5)
FAST = RunContext(learning_rate=2e-5)


def write(folder: Path, *lines: dict[str, Any] | str) -> None:
    path = folder.joinpath(*journal.JOURNAL_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join(text))


def start(step: int, context: RunContext, **changed: list[float]) -> dict[str, Any]:
    return {"event": "start", "step": step, "context": context.to_dict(), "changed": changed}


def test_half_a_line_is_passed_over(tmp_path: Path) -> None:
    assert journal.read(str(tmp_path)) == []
    write(tmp_path, start(0, FAST), '{"event": "fired", "fin', "[]", "3", '{"step": 1}', '"x"')
    assert [event["event"] for event in journal.read(str(tmp_path))] == ["start"]


def test_a_start_makes_later_ones_void(tmp_path: Path) -> None:
    write(tmp_path, start(0, FAST), start(150, SLOW), start(100, SLOW), {"event": "start"})
    led = journal.starts(journal.read(str(tmp_path)))
    assert [s.after_step for s in led] == [0, 100]
    assert journal.before(led, 100) == led[:1]
    write(tmp_path, start(0, FAST), start(150, SLOW), start(0, SLOW))
    assert [s.context for s in journal.starts(journal.read(str(tmp_path)))] == [SLOW]


def test_parts_of_a_run_have_the_settings_they_were_trained_with() -> None:
    led = [
        journal.Segment(0, FAST),
        journal.Segment(50, FAST),
        journal.Segment(100, SLOW, {"learning_rate": (2e-5, 1e-5)}),
    ]
    known = SLOW.replace(model_type="llama")
    first, second = journal.segments(led, known)
    assert (first.after_step, first.context) == (0, FAST)
    assert (second.after_step, second.context, second.changed) == (100, known, led[2].changed)
    assert journal.segments([], known) == (journal.Segment(0, known),)


def test_what_counts_as_other_settings() -> None:
    batch = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "world_size": 1}
    before = RunContext(learning_rate=2e-5, train_samples=100, max_steps=50, **batch)
    assert journal.changes(before, before.replace(max_steps=80)) == {}
    assert journal.changes(before, RunContext()) == {}
    split = before.replace(gradient_accumulation_steps=1, world_size=2)
    assert journal.changes(before, split) == {}
    now = split.replace(world_size=4, train_samples=90, learning_rate=1e-5)
    assert journal.changes(before, now) == {
        "learning_rate": (2e-5, 1e-5),
        "effective_batch_size": (8, 16),
        "train_samples": (100, 90),
    }


def test_analyze_sees_where_a_run_was_resumed(tmp_path: Path) -> None:
    rows = [*overfitting(), *({**row, "step": row["step"] + 200} for row in healthy())]
    write_state(tmp_path / "trainer_state.json", rows)
    assert not any(f.resolved_because for f in sftdiag.analyze(tmp_path).findings)
    write(tmp_path, start(0, FAST), start(200, SLOW, learning_rate=[2e-5, 1e-5]))
    report = sftdiag.analyze(tmp_path)
    assert report.verdict == "healthy"
    assert [finding.resolved_because for finding in report.findings] == [
        "the run was resumed after step 200 with other settings: learning_rate 2e-05 -> 1e-05"
    ]
