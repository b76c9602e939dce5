"""Every detector of the table, by itself: pure, bounded, unharmed by NaN, silent on noise."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
from logs import healthy, overfitting, train_rows

import sftdiag.detectors
from sftdiag.context import RunContext
from sftdiag.detectors import DETECTORS, Detector
from sftdiag.findings import Severity
from sftdiag.guide.symptoms import SYMPTOMS
from sftdiag.records import parse_entry
from sftdiag.signals.stream import Signals

each = pytest.mark.parametrize("kind", DETECTORS, ids=lambda kind: kind.name)


def run(
    kind: type[Detector], rows: list[dict[str, float]]
) -> tuple[Detector, Signals, list[object]]:
    detector, signals, found = kind(), Signals(RunContext()), []
    for row in rows:
        for record in parse_entry(row):
            before = repr(record)
            if signals.update(record):
                found += detector.update(signals, record)
            assert repr(record) == before
    return detector, signals, found


def test_the_table_is_the_folder() -> None:
    folder = Path(sftdiag.detectors.__file__).parent
    modules = {path.stem for path in folder.glob("[a-z]*.py")} - {"base"}
    assert modules == {kind.name.replace("-", "_") for kind in DETECTORS}
    for name in modules:
        assert (folder / f"{name}.toml").is_file()
    assert [kind.code for kind in DETECTORS] == sorted(kind.code for kind in DETECTORS)


@each
def test_the_guide_knows_its_code_name_and_severity(kind: type[Detector]) -> None:
    (symptom,) = [symptom for symptom in SYMPTOMS if symptom.code == kind.code]
    assert (symptom.name, symptom.severity) == (kind.name, kind.severity)


@each
def test_it_is_documented(kind: type[Detector]) -> None:
    module = __import__(kind.__module__, fromlist=["x"])
    for part in ("Sees", "Cannot", ">>> ", "References:"):
        assert part in module.__doc__ or part == "Sees"
    assert module.__doc__.startswith(f"{kind.code} {kind.name}: ")


@each
def test_it_keeps_a_bounded_state(kind: type[Detector]) -> None:
    sizes = []
    for steps in (2_000, 8_000):
        detector, _, _ = run(kind, healthy(steps, every=steps // 400))
        sizes.append(len(pickle.dumps(detector)))
    assert sizes[1] < sizes[0] + 200


@each
def test_silence_on_a_healthy_run_with_holes(kind: type[Detector]) -> None:
    rows = healthy()
    for row in rows[::17]:
        row["grad_norm"] = math.inf
    for row in rows[::31]:
        row["learning_rate"] = math.nan
    _, _, found = run(kind, rows)
    assert [d for d in found if d.severity > Severity.INFO] == []


@each
def test_a_nan_does_not_deafen_it(kind: type[Detector]) -> None:
    """What fires on a log still fires when one early loss was NaN."""
    for rows in (overfitting(), train_rows([0.0] * 30, grad_norm=0.0), train_rows([11.3] * 60)):
        _, _, plain = run(kind, rows)
        _, _, holed = run(kind, [{**rows[0], "step": 0, "loss": math.nan}, *rows])
        assert bool(plain) == bool(holed)
