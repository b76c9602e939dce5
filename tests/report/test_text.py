"""What a person reads, as snapshots of the shipped logs in both languages."""

from __future__ import annotations

import io
from math import nan
from pathlib import Path

import pytest
from logs import healthy, train_rows
from rich.cells import cell_len
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

import sftdiag
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.guide import preflight
from sftdiag.monitor import Monitor
from sftdiag.observations import FixText as ToChange
from sftdiag.observations import Observation, Outcome
from sftdiag.report import advice, text
from sftdiag.report.curve import HEIGHT, draw
from sftdiag.report.one_line import words_of

NAMES = (
    "eval-distribution",
    "frozen-parameters",
    "healthy",
    "label-mask",
    "learning-rate-too-high",
    "learning-rate-too-low",
    "nan-weights",
    "overfitting",
)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_logs(name: str, lang: str, runs: Path, snapshot: SnapshotAssertion) -> None:
    report = sftdiag.analyze(runs / name, lang=lang).replace(source=name)
    assert text.render(report) == snapshot


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_everything_of_a_shipped_log(lang: str, runs: Path, snapshot: SnapshotAssertion) -> None:
    report = sftdiag.analyze(runs / "eval-distribution", lang=lang).replace(source="run")
    assert text.render(report, detail="full") == snapshot


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_healthy_run_takes_eight_lines_at_most(lang: str, runs: Path) -> None:
    shown = text.render(sftdiag.analyze(runs / "healthy", lang=lang)).splitlines()
    assert len(shown) <= 8
    rows = [row for row in healthy() if "loss" in row]
    bare = text.render(sftdiag.analyze({"log_history": rows}, lang=lang)).splitlines()
    assert len(bare) <= 8
    assert any("eval-loss-rising" in line for line in bare)


@pytest.mark.parametrize("name", NAMES)
def test_a_line_is_the_verdict(name: str, runs: Path) -> None:
    report = sftdiag.analyze(runs / name).replace(source=name)
    (line,) = text.render(report, detail="line").splitlines()
    assert line.startswith(f"{name}: {report.verdict}")


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "healthy"])
def test_the_line_below_the_change_is_its_first_cause(name: str, lang: str, runs: Path) -> None:
    report = sftdiag.analyze(runs / name, lang=lang)
    assert report.primary is not None
    lines = text.render(report).splitlines()
    change = advice.first_change(report, words_of(lang))
    below = lines[lines.index(change) + 1]
    assert below.startswith(
        advice.stated(advice.told_causes(report.primary.causes)[0], words_of(lang))
    )
    # On a terminal it stays a line.
    shown = [line.plain for line in text.lines(report, columns=40, detail="brief", width=40)]
    assert cell_len(shown[shown.index(change) + 1]) <= 40


def test_a_cause_that_a_check_proves_names_the_check_and_its_rows(runs: Path) -> None:
    report = sftdiag.analyze(runs / "label-mask")
    (reason, *_) = advice.reasons_of(report.findings[0], report, words_of("en"))
    assert reason.endswith(", seen by SFT401 no-supervised-token in 256 of 256 rows")


@pytest.mark.parametrize(("lang", "told"), [("en", "Because: "), ("zh", "因为：")])
def test_of_a_check_that_stands_first_the_reason_is_what_it_saw(lang: str, told: str) -> None:
    rows = {"rows": 8, "seen": 9, "share": 0.89, "share_low": 0.5, "share_high": 1.0}
    evidence = {**rows, "answers": 3, "trained": 4}
    found = [
        Observation(
            "SFT422", "answers-untrained", Severity.ERROR, "label-mask", series,
            evidence=evidence, fixes=(ToChange("invert"),),
        )
        for series in ("train", "eval")
    ]  # fmt: skip
    report = preflight.report(
        Outcome(tuple(found), ran=("answers-untrained",)), Settings(lang=lang), ""
    )
    reason = advice.first_reason(report, words_of(lang))
    assert reason.startswith(told)
    assert "8" in reason
    assert "%" not in reason
    # What is seen again in an evaluation set is no consequence of itself.
    again = " ".join(line.plain for line in text.lines(report))
    same = "the same as SFT422@0 in train" if lang == "en" else "与 train 的 SFT422@0 相同"
    assert same in again
    assert words_of(lang)["consequence"].format(id="SFT422@0") not in again


def test_a_healthy_run_has_no_reason(runs: Path) -> None:
    assert not advice.first_reason(sftdiag.analyze(runs / "healthy"), words_of("en"))


def test_at_a_glance_one_finding_is_told_in_full_and_the_rest_in_a_line(runs: Path) -> None:
    report = sftdiag.analyze(runs / "eval-distribution")
    shown = text.render(report)
    assert shown.count("What to change") == shown.count("Why it matters") == 1
    assert "SFT414 eval-distribution-shift (warning, a cause of SFT201@40): " in shown
    assert "Also possible: overfitting. Ruled out: the order of the data (-v: why)" in shown


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_the_curve_fits_its_terminal(columns: int, runs: Path) -> None:
    report = sftdiag.analyze(runs / "overfitting")
    rows = [line.plain for line in text.lines(report, columns=columns) if "┤" in line.plain]
    assert len(rows) == HEIGHT
    assert max(map(len, rows)) <= columns


def test_no_curve_below_forty_columns(runs: Path) -> None:
    report = sftdiag.analyze(runs / "overfitting")
    assert not [line for line in text.lines(report, columns=39) if "┤" in line.plain]


def test_a_terminal_that_cannot_draw_gets_ascii(runs: Path) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="replace")
    text.write_to(Console(file=file, width=80), sftdiag.analyze(runs / "overfitting"))
    file.flush()
    shown = raw.getvalue().decode("ascii")
    assert not [line for line in shown.splitlines() if "|" in line and "?" in line]
    assert "  +--" in shown
    assert "^ 50" in shown


def test_a_change_stands_below_the_advice_that_it_belongs_to() -> None:
    """After a lost state, 250 steps are for a new run, not for a resume or one on purpose."""
    context = RunContext(
        lr_scheduler_type="linear", warmup_steps=0, max_steps=500, lost_state_steps=(250,)
    )
    monitor = Monitor(context)
    for step in range(10, 501, 10):
        monitor.feed_entry({"step": step, "loss": 2.0, "learning_rate": 1e-4})
    lines = text.render(monitor.report()).splitlines()
    change = next(i for i, line in enumerate(lines) if "max_steps: 500 -> 250" in line)
    assert "start a new run" in lines[change - 1]


def test_a_run_that_came_back_is_not_said_to_have_had_no_fault() -> None:
    monitor = Monitor()
    for step in range(1, 501):
        loss = 2.0 if 200 < step <= 300 else max(1.0, 3.0 - 0.02 * step)
        monitor.feed_entry({"step": step, "loss": loss})
    report = monitor.report()
    assert report.verdict == "healthy"
    assert {finding.worst.label for finding in report.findings} & {"warning", "error"}
    assert text.render(report).splitlines()[0].endswith("What was found earlier is over.")


def test_the_terminal_says_the_same_in_colour(runs: Path) -> None:
    report = sftdiag.analyze(runs / "overfitting")
    out = io.StringIO()
    text.write_to(
        Console(file=out, width=1000, force_terminal=True, color_system="standard"), report
    )
    shown = out.getvalue()
    assert "\x1b[" in shown
    plain = io.StringIO()
    text.write_to(Console(file=plain, width=1000), report)
    lines = [line.rstrip() for line in plain.getvalue().splitlines()]
    assert lines == text.render(report).splitlines()


def test_long_lines_wrap_inside_their_indent(runs: Path) -> None:
    out = io.StringIO()
    text.write_to(Console(file=out, width=80), sftdiag.analyze(runs / "overfitting", lang="zh"))
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80


def test_the_onset_is_marked_below_the_curve(runs: Path) -> None:
    report = sftdiag.analyze(runs / "overfitting")
    assert report.primary is not None
    assert f"▲ {report.primary.onset_step}" in text.render(report)


def test_a_log_too_short_to_draw() -> None:
    report = sftdiag.analyze({"log_history": [{"step": 1, "loss": 1.0}]})
    assert "┤" not in text.render(report)


def test_odd_values_are_drawn() -> None:
    for losses in ([1.0] * 30, [0.0] * 30, [1e-9, 1e9] * 20, [-5.0 + i for i in range(30)]):
        assert "┤" in text.render(sftdiag.analyze({"log_history": train_rows(losses)}))


def test_a_healthy_run_says_so_in_its_first_line() -> None:
    first = text.render(sftdiag.analyze({"log_history": healthy()})).splitlines()[0]
    assert first == "state: healthy. The checks that could run found no fault."


def test_a_symptom_that_came_back_is_told_in_full_once(runs: Path) -> None:
    report = sftdiag.analyze(runs / "learning-rate-too-low")
    (now,) = report.findings
    before = now.replace(id="SFT101@2", fired_step=2, resolved_step=10)
    both = text.render(report.replace(findings=(now, before)), curve=False, detail="full")
    assert both.count("over at step 10") == 1
    assert both.count("Causes, the likeliest first") == both.count("What to change") == 1
    alone = text.render(report.replace(findings=(before,)), curve=False, detail="full")
    assert alone.count("Causes, the likeliest first") == 1


def test_whole_numbers_are_written_out(runs: Path) -> None:
    report = sftdiag.analyze(runs / "overfitting")
    (fix, *_) = report.findings[0].causes[0].fixes
    changes = {"SFTConfig.num_train_epochs": (131.0, 3), "SFTConfig.learning_rate": (5e-5, 1e-5)}
    cause = report.findings[0].causes[0].replace(fixes=(fix.replace(changes=changes),))
    shown = text.render(report.replace(findings=(report.findings[0].replace(causes=(cause,)),)))
    assert "num_train_epochs: 131 -> 3" in shown
    assert "learning_rate: 5e-05 -> 1e-05" in shown


LOST = [3.0 - 0.01 * n for n in range(20)] + [nan] * 20 + [2.5 - 0.01 * n for n in range(20)]
"""A loss that is lost for a third of the run, and comes back."""


def columns_of(chart: str) -> set[int]:
    """Return the columns of the plot in which something is drawn."""
    rows = [line.split("┤")[1] for line in chart.splitlines() if "┤" in line]
    return {column for row in rows for column, cell in enumerate(row) if cell != " "}


def test_a_gap_in_the_loss_is_a_gap_in_the_curve() -> None:
    report = sftdiag.analyze({"log_history": train_rows(LOST)})
    drawn = columns_of("\n".join(draw(report.replace(primary_id=None))))
    assert {5, 15, 50, 60} <= drawn
    assert not drawn & set(range(22, 40))
    # One point between two gaps is a dot.
    (loss, *_) = report.curves
    alone = loss.replace(steps=(1, 2, 30, 60), values=(3.0, 2.9, 2.0, 1.0), gaps=(2, 30))
    assert len(columns_of("\n".join(draw(report.replace(curves=(alone,), primary_id=None))))) == 4


def test_the_verdict_says_why_a_root_stands_before_what_is_worse(runs: Path) -> None:
    report = sftdiag.analyze(runs / "overfitting")
    assert report.primary is not None
    root = report.primary.replace(severity=Severity.WARNING)
    worse = report.primary.replace(
        id="SFT421@0", code="SFT421", name="empty-answers", consequence_of=root.id
    )
    both = report.replace(findings=(root, worse))
    first = text.render(both).splitlines()[0]
    assert first.endswith("error · SFT201 eval-loss-rising, which leads to SFT421 empty-answers")
    assert both.at_least("error") == (worse,)
    alone = report.replace(findings=(root, worse.replace(consequence_of=None)))
    assert ", beside the error SFT421 empty-answers" in text.render(alone).splitlines()[0]
    over = report.replace(findings=(root, worse.replace(resolved_step=9)))
    assert text.render(over).splitlines()[0].endswith("SFT201 eval-loss-rising")
