"""The second base's runs: fixed specs, each with twins, causes and a line for the page."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from benchmarks.gpu.finetunes import about, bars
from benchmarks.gpu.finetunes.matrix import NONE, Spec
from benchmarks.gpu.finetunes.results import spec_of
from benchmarks.gpu.finetunes.score import LEAST_TWINS
from benchmarks.gpu.finetunes.smollm2 import matrix, rows
from benchmarks.gpu.finetunes.smollm2.sources import several, turns
from benchmarks.gpu.finetunes.smollm2.specs import CAUSES, Tune

SPECS = matrix.matrix()
SOURCES = {
    name: [turns(f"What is {name} {at}?", f"{name} is {at}.") for at in range(600)]
    for name in ("words", "python", "commands", "translation")
}


def test_half_of_the_runs_are_healthy_and_no_two_have_one_name() -> None:
    healthy = [spec for spec in SPECS if spec.fault == NONE]
    assert len(SPECS) >= bars.SECOND.runs
    assert 2 * len(healthy) >= len(SPECS)
    assert len({spec.name for spec in SPECS}) == len(SPECS)


def test_each_fault_has_twins_to_measure_its_harm_by() -> None:
    twins = Counter(str(spec.twin) for spec in SPECS if spec.fault == NONE and not spec.trap)
    lonely = [s.name for s in SPECS if s.fault != NONE and twins[str(s.twin)] < LEAST_TWINS]
    assert lonely == []


def test_the_page_says_what_each_fault_and_trap_is() -> None:
    faults = {spec.fault for spec in SPECS} - {NONE}
    assert faults <= about.SECOND_FAULTS.keys()
    assert faults <= CAUSES.keys()
    traps = {spec.trap or "plain" for spec in SPECS if spec.fault == NONE}
    assert traps <= about.SECOND_TRAPS.keys()


@pytest.mark.parametrize("spec", [SPECS[0], next(s for s in SPECS if s.more), Spec()])
def test_a_spec_is_read_back_from_its_file(spec: Spec) -> None:
    again = spec_of(json.loads(json.dumps({"spec": spec.as_dict()})))
    assert again == spec
    assert type(again) is type(spec)


@pytest.mark.parametrize(
    "fault", ["none", "corrupted-shard", "duplicates", "contradictory", "empty-answers"]
)
def test_no_run_trains_on_its_evaluation_rows(fault: str) -> None:
    spec = Tune(rows=200, fault=fault)
    held = {turns[-2]["content"] for turns in rows.held_out(spec, SOURCES)}
    trained = {turns[-2]["content"] for turns in rows.training(spec, SOURCES)}
    assert len(held) == spec.eval_rows
    assert not held & trained


def test_but_for_the_fault_that_does() -> None:
    spec = Tune(rows=200, fault="eval-in-train")
    held = rows.held_out(spec, SOURCES)
    trained = rows.training(spec, SOURCES)
    assert len(trained) == 200
    assert all(conversation in trained for conversation in held)


def test_answers_of_others_are_those_of_other_rows() -> None:
    twin = Tune(rows=200)
    right = {t[-2]["content"]: t[-1]["content"] for t in rows.training(twin, SOURCES)}
    for kind in ("neighbour", "shuffled"):
        spec = Tune(rows=200, fault="answers-of-others", kind=kind)
        said = [(t[-2]["content"], t[-1]["content"]) for t in rows.training(spec, SOURCES)]
        assert sorted(answer for _, answer in said) == sorted(right.values())
        assert sum(right[asked] == answer for asked, answer in said) <= 5


def test_conversations_are_joined_with_one_system_turn() -> None:
    pool = [[{"role": "system", "content": "s"}, *turns("a", str(at))] for at in range(5)]
    joined = several(pool, 2)
    assert len(joined) == 2
    assert [t["role"] for t in joined[0]] == ["system", *["user", "assistant"] * 2]
