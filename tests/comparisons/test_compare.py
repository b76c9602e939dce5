"""Runs against a baseline: seeds are alike, faults are not, and which is better."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import FETCHES, read

import sftdiag
from sftdiag.comparisons import html
from sftdiag.comparisons.outcome import Comparison, compared
from sftdiag.context import RunContext
from sftdiag.errors import ConfigError
from sftdiag.signals.course import course_of

Rows = list[dict[str, Any]]


def log(
    seed: int = 0,
    *,
    floor: float = 1.0,
    start: float = 3.0,
    noise: float = 0.05,
    evaluated: bool = True,
    steps: int = 200,
) -> Rows:
    """Return a run that falls from start to floor and is evaluated ten times."""
    draw, rows = random.Random(seed), []
    for step in range(1, steps + 1):
        level = floor + (start - floor) / (1 + 0.1 * step)
        rows.append({"step": step, "loss": level * draw.gauss(1, noise), "grad_norm": 1.0})
        if evaluated and step % 20 == 0:
            rows.append({"step": step, "eval_loss": (level + 0.05) * draw.gauss(1, 0.003)})
    return rows


def held(
    baseline: Rows, run: Rows, known: tuple[RunContext, RunContext] | None = None
) -> Comparison:
    contexts = known or (RunContext(), RunContext())
    return compared(course_of("base", baseline, contexts[0]), course_of("run", run, contexts[1]))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from([0.02, 0.05, 0.1]))
@settings(max_examples=60, deadline=None)
def test_seeds_of_one_setting_are_not_told_apart(first: int, second: int, noise: float) -> None:
    assert held(log(first, noise=noise), log(second, noise=noise)).outcome == "alike"


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_two_sides_are_mirror_images(seed: int, evaluated: bool) -> None:
    one, other = log(seed, evaluated=evaluated), log(seed + 1, floor=1.3, evaluated=evaluated)
    assert held(one, other).outcome == "worse"
    assert held(other, one).outcome in ("better", "different")


def test_a_run_is_like_itself() -> None:
    found = held(log(), log())
    assert (found.outcome, found.settings) == ("alike", {})
    assert all(d.change == 0.0 and not d.beyond for d in found.differences)


def test_a_worse_run_says_by_what_and_since_when() -> None:
    late = [
        {**row, **{k: v * 1.4 for k, v in row.items() if "loss" in k and row["step"] > 100}}
        for row in log(1)
    ]
    found = held(log(0), late)
    assert (found.outcome, found.decided_by) == ("worse", "eval_last")
    last = found.of("eval_last")
    assert last is not None
    assert last.change == pytest.approx(0.4, abs=0.03)
    assert last.since_step == 120
    start = found.of("loss_start")
    assert start is not None
    assert not start.beyond


@pytest.mark.parametrize(
    ("spoil", "by"),
    [
        (lambda row: {**row, "loss": float("nan")}, "lost"),
        (lambda row: {**row, "loss": 0.0, "grad_norm": 0.0}, "zeros"),
    ],
)
def test_a_loss_that_is_lost_or_zero_is_worse(spoil: Callable[[Any], Any], by: str) -> None:
    sick = [spoil(row) if "loss" in row and row["step"] > 150 else row for row in log(1)]
    assert (held(log(), sick).outcome, held(log(), sick).decided_by) == ("worse", by)
    assert held(sick, log()).outcome == "better"


def test_a_loss_over_other_tokens_is_no_gain() -> None:
    masked = [{k: v * 0.7 if "loss" in k else v for k, v in row.items()} for row in log(1)]
    assert (held(log(), masked).outcome, held(log(), masked).decided_by) == (
        "different",
        "loss_start",
    )


def test_a_lower_train_loss_at_the_same_evaluation_is_no_gain() -> None:
    by_heart = [
        {**row, "loss": row["loss"] * 0.5} if row["step"] > 60 and "loss" in row else row
        for row in log(1)
    ]
    assert held(log(), by_heart).decided_by == "loss_end"
    assert held(log(), by_heart).outcome == "different"


def test_too_few_values_are_no_verdict() -> None:
    assert (
        held(log(steps=2, evaluated=False), log(1, steps=2, evaluated=False)).outcome == "unknown"
    )


def test_evaluations_on_other_rows_are_not_compared() -> None:
    known = RunContext(eval_fingerprint="a"), RunContext(eval_fingerprint="b")
    found = held(log(), log(1, floor=1.02), known)
    assert found.other_rows
    assert found.of("eval_last") is None


def test_only_settings_known_of_both_and_different_are_shown() -> None:
    known = (
        RunContext(learning_rate=1e-4, lora_r=8, versions={"trl": "1"}),
        RunContext(learning_rate=2e-4, max_length=512, versions={"trl": "2"}),
    )
    assert held(log(), log(1), known).settings == {"learning_rate": (1e-4, 2e-4)}


@given(
    st.lists(
        st.fixed_dictionaries(
            {"step": st.integers(0, 30)},
            optional={"loss": st.floats(), "eval_loss": st.floats(), "grad_norm": st.floats()},
        ),
        max_size=40,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_log_breaks_it(rows: Rows) -> None:
    for pair in ((rows, log(steps=30)), (log(steps=30), rows), (rows, rows)):
        assert json.dumps(held(*pair).to_dict(), allow_nan=False)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, Rows], Path]:
    def write(name: str, rows: Rows) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"log_history": rows, "max_steps": 200}))
        return path

    return write


def test_assert_no_worse(written: Callable[[str, Rows], Path]) -> None:
    main, same = written("main", log()), written("same", log(1))
    worse = written("worse", log(2, floor=1.1))
    assert sftdiag.assert_no_worse(same, baseline=main).outcome == "alike"
    with pytest.raises(AssertionError, match=r"worse against .*main: worse"):
        sftdiag.assert_no_worse(worse, baseline=main)
    assert sftdiag.assert_no_worse(worse, baseline=main, tolerance=0.2).outcome == "worse"
    for tolerance in ("none", -0.1, True, None):
        with pytest.raises(ConfigError, match="tolerance"):
            sftdiag.assert_no_worse(same, baseline=main, tolerance=tolerance)  # type: ignore[arg-type]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command(
    written: Callable[[str, Rows], Path], capsys: pytest.CaptureFixture[str], lang: str
) -> None:
    from sftdiag.cli.main import main as cli

    base, worse = str(written("main", log())), str(written("worse", log(2, floor=1.2)))
    assert cli(["compare", base, base, "--lang", lang]) == 0
    capsys.readouterr()
    assert cli(["compare", base, worse, "--lang", lang]) == 1
    shown = capsys.readouterr().out
    assert ("worse" if lang == "en" else "更差") in shown.splitlines()[0]
    assert "{" not in shown
    assert cli(["compare", base, worse, "--format", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert found["outcome"] == "worse"
    assert cli(["compare", base, "none"]) == 2
    capsys.readouterr()
    assert cli(["compare", base, base, base, "--lang", lang]) == 0
    one, other = capsys.readouterr().out.split("\n\n" + f"{base}")
    assert one.startswith(f"{base}{other.splitlines()[0]}")
    file = Path(base).parent / "compare.html"
    assert cli(["compare", base, worse, "--format", "html", "--output", str(file)]) == 1
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page(
    written: Callable[[str, Rows], Path], capsys: pytest.CaptureFixture[str], lang: str
) -> None:
    from sftdiag.cli.main import main as cli

    paths = [str(written(name, rows)) for name, rows in (("a", log()), ("b", log(2, floor=1.2)))]
    assert cli(["compare", *paths, paths[1], "--format", "html", "--lang", lang]) == 1
    shown = capsys.readouterr().out
    assert not FETCHES.search(shown)
    page = read(shown)
    data = json.loads(shown.split('id="curves">')[1].split("</script>")[0])
    names = [panel["name"] for panel in data["panels"]]
    assert names == ["loss", "eval_loss", "grad_norm"]
    # The same run twice is drawn twice, below two names.
    assert [len(panel["series"]) for panel in data["panels"]] == [3, 3, 3]
    (banded,) = data["panels"][0]["bands"]
    assert banded.startswith(paths[0])
    found = held(log(), log(2, floor=1.2))
    decisive = found.of("eval_last")
    assert decisive is not None
    assert data["panels"][1]["bands"][banded] == pytest.approx(1 + decisive.margin)
    assert data["marks"] == [decisive.since_step] * 2
    for difference in found.differences:
        assert f"{difference.change:+.1%}" in page.text
    assert page.text.count("更差" if lang == "zh" else "worse") == 2


def test_no_text_of_a_log_becomes_markup_of_a_comparison() -> None:
    odd = "</script><img src=x onerror=alert(1)>"
    rows = [*log(), {"step": 200, f"eval_{odd}_loss": 1.0, f"eval_{odd}_runtime": 1.0}]
    courses = [course_of(odd, rows, RunContext(method=f"{odd}{i}")) for i in range(2)]
    page = read(html.page(courses[0], [(courses[1], compared(*courses))]))
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 2


def test_runs_without_a_curve_have_a_page() -> None:
    empty = course_of("none", [{"step": 1, "loss": float("nan")}], RunContext())
    for one, other in ((empty, empty), (course_of("run", log(), RunContext()), empty)):
        read(html.page(one, [(other, compared(one, other))]))
