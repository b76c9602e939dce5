"""Every probe of the table, by itself."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
from probes.rows import STEADY, fed, fired, log_row, row

import sftdiag
import sftdiag.detectors
import sftdiag.probes
from sftdiag import texts
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.guide.symptoms import SYMPTOMS
from sftdiag.probes import PROBES, Probe
from sftdiag.probes.base import REASONS
from sftdiag.records import parse_entry
from sftdiag.signals.stream import Signals

each = pytest.mark.parametrize("kind", PROBES, ids=lambda kind: kind.name)

SICK = {
    "repetitive-output": {"greedy": 0.7, "greedy_error": 0.08},
    "forgetting": {"loss": 3.4, "rise": 0.9},
    "unnatural-replies": {"ended": 0.0, "ended_error": 0.0, "end_probability": 1e-3},
}


def test_the_table_is_the_folder() -> None:
    folder = Path(sftdiag.probes.__file__).parent
    names = {kind.name.replace("-", "_") for kind in PROBES}
    assert names <= {path.stem for path in folder.glob("*.py")}
    assert names | {"general_text"} == {path.stem for path in folder.glob("*.toml")}
    assert [kind.code for kind in PROBES] == sorted(kind.code for kind in PROBES)


@each
def test_the_guide_knows_it_and_it_is_documented(kind: type[Probe]) -> None:
    (symptom,) = [symptom for symptom in SYMPTOMS if symptom.code == kind.code]
    assert (symptom.name, symptom.severity, symptom.seen_by) == (
        *(kind.name, Severity.WARNING),
        "model",
    )
    text = __import__(kind.__module__, fromlist=["x"]).__doc__
    for part in ("Sees", "Cannot", ">>> ", "References:"):
        assert part in text
    assert text.startswith(f"{kind.code} {kind.name}: ")


@each
def test_it_needs_two_in_a_row_to_fire_and_two_to_be_over(kind: type[Probe]) -> None:
    name = kind.name
    course = "sSsSSsSssSS"  # S: sick
    rows = [row(name, 0, before=True)]
    rows += [row(name, 60 + i, **(SICK[name] if c == "S" else {})) for i, c in enumerate(course)]
    found = fed(rows).report().findings
    assert [(f.onset_step, f.fired_step, f.resolved_step) for f in found] == [
        *((69, 70, None), (63, 64, 68)),
    ]


@each
def test_the_last_probe_of_the_plan_stands_alone(kind: type[Probe]) -> None:
    rows = [row(kind.name, 0, before=True), row(kind.name, 100, **SICK[kind.name])]
    assert fired(rows) == [(kind.name, 100, 100)]
    assert fired(rows, max_steps=200) == []
    assert fired(rows, max_steps=None) == [(kind.name, 100, 100)]


SICK_FROM_THE_START = {
    "repetitive-output": [SICK["repetitive-output"], {"distinct": 0.1, "distinct_error": 0.03}],
    "unnatural-replies": [{"marked": 0.8, "marked_error": 0.1}],
}
"""What is held against the reference answers where nothing was measured before training."""


@pytest.mark.parametrize(
    ("name", "sick"), [(name, sick) for name, each in SICK_FROM_THE_START.items() for sick in each]
)
def test_what_was_sick_when_first_asked_is_no_measure(name: str, sick: dict[str, float]) -> None:
    rows = [row(name, step, **sick) for step in range(10, 101, 10)]
    assert fired(rows) == [(name, 60, 50)]
    # A model that has not learned it yet: what it learns in the first half is no fault.
    early = [row(name, step, **(sick if step < 50 else {})) for step in range(10, 101, 10)]
    assert fired(early) == []
    assert "less than 50%" in fed(rows[:4]).report().skipped[name]
    # As it was before training.
    assert fired([row(name, 0, before=True, **sick), *rows]) == []
    # Sound once, it is the measure.
    assert fired([row(name, 10), *rows[1:]]) == [(name, 30, 20)]


def test_replies_without_reference_answers_have_the_first_as_their_measure() -> None:
    name, alone = "repetitive-output", dict.fromkeys(STEADY["repetitive-output"])
    alone |= {"prompts": 16, "greedy": 0.7, "greedy_error": 0.05}
    assert fired([row(name, step, **alone) for step in range(10, 101, 10)]) == []
    rows = [row(name, 10, **{**alone, "greedy": 0.1}), row(name, 100, **alone)]
    assert fired(rows) == [(name, 100, 100)]


@each
def test_a_row_of_another_writer_says_nothing(kind: type[Probe]) -> None:
    own = f"probe/{kind.name}/"
    for measures in ({"x": 1.0}, {"prompts": math.nan}, {"texts": math.inf}, {"skipped/x": 1.0}):
        report = fed([{"step": 1, **{own + name: v for name, v in measures.items()}}]).report()
        assert report.findings == ()


def test_every_reason_has_its_words() -> None:
    words = texts.load(sftdiag.detectors.__file__, "skipped", "en")
    assert words.keys() >= REASONS


@each
def test_a_sound_model_is_silent_and_was_judged(kind: type[Probe]) -> None:
    rows = [row(kind.name, step, before=step == 0) for step in range(0, 101, 10)]
    report = fed(rows).report()
    assert (report.findings, report.verdict) == ((), "healthy")
    assert report.ran[-len(PROBES) :].count(kind.name) == 1
    assert report.summary.records == 0


@each
def test_why_it_could_not_judge_is_told(kind: type[Probe]) -> None:
    assert "probes=True" in fed([log_row(1)]).report().skipped[kind.name]
    skipped = {"step": 1, f"probe/{kind.name}/skipped/sharded": 1.0}
    assert "FSDP" in fed([skipped]).report().skipped[kind.name]
    over = {"step": 1, f"probe/{kind.name}/skipped/over_budget": 7.5}
    assert "7.5 s" in fed([over]).report().skipped[kind.name]
    assert "no evaluation" in fed([row(kind.name, 0, before=True)]).report().skipped[kind.name]


@each
def test_what_was_asked_for_and_not_measured_is_told_at_a_glance(kind: type[Probe]) -> None:
    over = fed([{"step": 1, f"probe/{kind.name}/skipped/over_budget": 7.5}, log_row(2)]).report()
    assert over.asked == (kind.name,)
    assert f"{kind.name} (the time budget of 7.5 s was too short" in str(over)
    assert sftdiag.Report.from_dict(over.to_dict()) == over
    alone = fed([log_row(1)]).report()
    assert (alone.asked, kind.name in str(alone)) == ((), False)


@each
def test_it_keeps_a_bounded_state(kind: type[Probe]) -> None:
    sizes = []
    for count in (10, 1000):
        probe, signals = kind(), Signals(RunContext(max_steps=10_000))
        for step in range(count):
            for record in parse_entry(row(kind.name, step, **SICK[kind.name])):
                probe.update(signals, record)
        sizes.append(len(pickle.dumps(probe)))
    assert sizes[1] < sizes[0] + 50


@each
def test_rows_of_probes_do_not_move_what_the_log_says(kind: type[Probe]) -> None:
    log = [log_row(step, 2.0 + math.exp(-step / 20)) for step in range(1, 101)]
    mixed = [entry for i, logged in enumerate(log) for entry in (row(kind.name, i), logged)]
    plain, asked = fed(log).report(), fed(mixed).report()
    assert (plain.summary, plain.curves) == (asked.summary, asked.curves)
    assert plain.findings == asked.findings


def test_steady_has_a_row_for_each() -> None:
    assert STEADY.keys() == SICK.keys() == {kind.name for kind in PROBES}
