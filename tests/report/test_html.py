"""A run's page: what it holds without scripts, and that nothing of a log becomes markup."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import healthy, train_rows
from pages import FETCHES, read

import sftdiag
from sftdiag.context import RunContext
from sftdiag.errors import ConfigError
from sftdiag.findings import Report
from sftdiag.report import advice, chart, html, markdown, svg, text
from sftdiag.report.one_line import words_of
from sftdiag.report.reduced import reduced
from sftdiag.report.results import Results
from sftdiag.signals.course import Course, course_of
from sftdiag.sources import open_run


def made(path: Path, lang: str = "en") -> tuple[Report, Course]:
    run = open_run(path)
    return sftdiag.analyze(path, lang=lang), course_of(run.path, run.entries, run.context)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", ["overfitting", "healthy", "nan-weights", "label-mask"])
def test_every_fact_is_there_without_scripts(runs: Path, name: str, lang: str) -> None:
    report, course = made(runs / name, lang)
    page = read(html.page(report, course))
    assert ("html", {"lang": lang}) in page.elements
    for finding in report.findings:
        assert finding.message in page.text
        assert finding.code in page.text
    if report.primary is not None:
        for cause in report.primary.causes:
            assert all(s in page.text for s in (*cause.because, *cause.against, *cause.missing))
        assert report.primary.why in page.text
    for name_, reason in report.skipped.items():
        assert name_ in page.text
        assert reason in page.text
    series = {attrs["data-series"] for tag, attrs in page.elements if "data-series" in attrs}
    assert series >= {"loss", "learning_rate"}


def test_nothing_is_fetched_from_anywhere(runs: Path) -> None:
    assert not FETCHES.search(html.page(*made(runs / "overfitting")))


@given(st.text(max_size=40))
def test_no_text_of_a_log_becomes_markup(text: str) -> None:
    odd = f"</script><img src=x onerror=alert(1)><!--{text}"
    report = sftdiag.analyze({"log_history": healthy()}).replace(
        source=odd, skipped={odd: odd}, reason=odd
    )
    rows = [*healthy(), {"step": 10, f"eval_{odd}_loss": 1.0, f"eval_{odd}_runtime": 1.0}]
    course = course_of(odd, rows, RunContext(method=odd, versions={odd: odd}))
    page = read(html.page(report, course))
    assert not [tag for tag, _ in page.elements if tag in ("img", "iframe")]
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 2
    assert not [attrs for _, attrs in page.elements if any(k.startswith("on") for k in attrs)]


def test_odd_logs_have_a_page() -> None:
    logs = [
        [{"step": 1, "loss": 1.0}],
        [{"step": 5, "eval_loss": 1.0}],
        [{"step": 1, "loss": float("nan")}],
        train_rows([0.0] * 30),
        train_rows([-1.0, 1e30] * 20),
        train_rows([1e-30] * 20),
    ]
    for rows in logs:
        report = sftdiag.analyze({"log_history": rows})
        read(html.page(report, course_of("run", rows, RunContext())))


def test_the_numbers_of_the_curves_are_json(runs: Path) -> None:
    page = html.page(*made(runs / "overfitting"))
    found = re.search(r'<script type="application/json" id="curves">(.*?)</script>', page, re.S)
    assert found is not None
    data = json.loads(found[1])
    assert data["span"] == [2, 160]
    assert list(data["panels"][0]["series"]) == ["loss", "eval_loss"]


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=3000),
    st.integers(4, 200),
    st.sets(st.integers(0, 2999), max_size=5),
)
def test_reduced_curves_keep_extremes_ends_and_marks(
    values: list[float], most: int, marked: set[int]
) -> None:
    points = list(enumerate(values))
    kept = reduced(points, marked, most)
    assert len(kept) <= most + len(marked)
    assert set(kept) <= set(points)
    assert kept == sorted(kept)
    assert {points[0], points[-1]} <= set(kept)
    assert min(v for _, v in kept) == min(values)
    assert max(v for _, v in kept) == max(values)
    assert {p for p in points if p[0] in marked} <= set(kept)


def test_a_notebook_shows_a_report_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich takes a notebook's console for one, too, wherever it writes."""
    twice: list[object] = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: twice.append(text))
    assert "SFT201" in sftdiag.analyze(runs / "overfitting")._repr_html_()
    assert twice == []


def test_a_notebook_shows_the_curves_of_the_page(runs: Path) -> None:
    report, course = made(runs / "overfitting")
    shown = read(report._repr_html_())
    page = read(html.page(report, course))
    series = [attrs["data-series"] for tag, attrs in shown.elements if "data-series" in attrs]
    assert series == [
        attrs["data-series"] for tag, attrs in page.elements if "data-series" in attrs
    ]
    assert series == ["loss", "eval_loss", "grad_norm", "learning_rate"]
    for told in ("began at step 50", "was seen at step 90", "best eval_loss: 1.275 at step 50"):
        assert told in shown.text
        assert told in page.text
    # Without a style sheet, a path is filled and has no line.
    lines = [attrs for tag, attrs in shown.elements if tag == "path"]
    assert all(attrs["fill"] == "none" and attrs["stroke"] for attrs in lines)
    assert "<style" not in report._repr_html_()
    assert "SFT201 eval-loss-rising" in shown.text
    assert "⠱" not in shown.text


def test_the_curves_of_a_report_are_those_of_its_log(runs: Path) -> None:
    report, course = made(runs / "overfitting")
    kept = {
        curve.series: dict(zip(curve.steps, curve.values, strict=True)) for curve in report.curves
    }
    for series, points in course.evaluations.items():
        assert kept[series] == dict(points)
    for name, points in (("grad_norm", course.grad_norm), ("learning_rate", course.learning_rate)):
        values = [value for _, value in points]
        assert len(kept[name]) > 10
        assert min(values) <= min(kept[name].values()) <= max(kept[name].values()) <= max(values)


def test_a_notebook_of_a_log_with_markup_or_without_curves_holds_none() -> None:
    odd = "</pre><img src=x onerror=alert(1)>"
    rows = [{**row, f"eval_{odd}_loss": 1.0, f"eval_{odd}_runtime": 1.0} for row in healthy()]
    shown = read(sftdiag.analyze({"log_history": rows}).replace(source=odd)._repr_html_())
    assert not [tag for tag, _ in shown.elements if tag == "img"]
    for few in ([{"step": 1, "loss": 1.0}], [{"step": 1, "loss": float("nan")}]):
        read(sftdiag.analyze({"log_history": few})._repr_html_())


def test_a_page_is_of_one_run(runs: Path) -> None:
    report, course = made(runs / "healthy")
    assert "<!doctype html>" in html.render(Results([report], courses=[course]))
    with pytest.raises(ConfigError, match="there are 2"):
        html.render(Results([report, report], courses=[course, course]))


def test_a_picture(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from sftdiag.report import plot

    path = tmp_path / "curve.png"
    plot.save(*made(runs / "overfitting"), str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="cannot be written"):
        plot.save(*made(runs / "overfitting"), str(tmp_path / "none" / "curve.png"))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", ["overfitting", "nan-weights", "frozen-parameters", "label-mask"])
def test_text_page_and_markdown_say_the_same_of_the_change_and_its_cause(
    runs: Path, name: str, lang: str
) -> None:
    report, course = made(runs / name, lang)
    words = words_of(lang)
    assert report.primary is not None
    change, causes = advice.first_change(report, words), report.primary.causes
    sure = [advice.stated(cause, words) for cause in advice.told_causes(causes)]
    others = advice.others_by_status(causes, words)
    assert change.startswith(words["try_first" if name == "nan-weights" else "change_first"])
    page = read(html.page(report, course)).text
    results = Results([report], courses=[course])
    shown = (
        (text.render(report), "->"),
        (page, "→"),
        (markdown.render(results).replace("\\", ""), "→"),
    )
    for told in (change, *sure, *others, advice.title(report.primary, words)):
        for one, arrow in shown:
            assert told.replace("->", arrow) in one


def test_no_line_leads_over_a_gap() -> None:
    rows = train_rows([3.0, 2.9, math.nan, math.nan, 2.5, math.nan, 2.3, 2.2], grad_norm=1.0)
    rows += [{"step": step, "eval_loss": loss} for step, loss in ((2, 3.0), (4, math.inf))]
    rows += [{"step": 7, "eval_loss": 2.4}]
    rows.sort(key=lambda row: row["step"])
    course = course_of("run", rows, RunContext())
    assert course.gaps == {"loss": (2, 5), "eval_loss": (2,)}
    page = html.page(sftdiag.analyze({"log_history": rows}), course)
    paths = re.findall(r'data-series="(loss|eval_loss)" d="(M[^"]*)"', page)
    joined = {key: path.count("M") for key, path in paths}
    assert joined == {"loss": 3, "eval_loss": 2}
    (data,) = re.findall(r'id="curves">(.*?)</script>', page)
    assert json.loads(data)["panels"][0]["gaps"] == {"loss": [2, 5], "eval_loss": [2]}


def test_a_log_that_goes_back_forgets_the_gaps_that_were_done_again() -> None:
    losses = {**dict.fromkeys(range(1, 9), 3.0), 4: math.nan, 6: math.nan}
    rows = [{"step": step, "loss": loss} for step, loss in losses.items()]
    again = [{"step": step, "loss": 2.9} for step in range(5, 12)]
    assert course_of("run", rows, RunContext()).gaps == {"loss": (3, 5)}
    assert course_of("run", [*rows, *again], RunContext()).gaps == {"loss": (3,)}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_marks_are_named_beside_their_lines(runs: Path, lang: str) -> None:
    page = html.page(*made(runs / "overfitting", lang))
    names = re.findall(r'<text class="name (\w+)"[^>]*>([^<]*)<', page)
    assert [kind for kind, _ in names] == ["best", "onset", "fired"]
    assert all("SFT201" in name for kind, name in names if kind != "best")
    # None stands over another.
    places = re.findall(r'class="name[^>]* x="([\d.]+)" y="(\d+)"[^>]*text-anchor="(\w+)"', page)
    assert len(set(places)) == len(places) == 3


def test_a_panel_of_one_series_has_its_name_at_the_axis_alone() -> None:
    points = [(1, 2.0), (2, 1.0)]
    panels = [
        svg.Panel("loss", {"loss": points, "eval_loss": points}, 300),
        svg.Panel("grad_norm", {"grad_norm": points}, 120),
    ]
    told = read(chart.legend(panels, [])).text
    assert "eval_loss" in told
    assert "grad_norm" not in told
