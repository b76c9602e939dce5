"""What machines read: SARIF, JUnit, GitHub's annotations, Markdown; and the baseline."""

from __future__ import annotations

import json
import re
from pathlib import Path

import junitparser
import pytest
from logs import train_rows

import sftdiag
from sftdiag.cli import baseline
from sftdiag.errors import SourceError
from sftdiag.findings import Report, Severity
from sftdiag.report import github, junit, markdown, sarif
from sftdiag.report.results import Results

UNREADABLE = {"source": "runs/none", "error": "no such file"}


@pytest.fixture
def overfitting(runs: Path) -> Report:
    return sftdiag.analyze(runs / "overfitting").replace(source="runs/over fitting")


@pytest.fixture
def results(runs: Path, overfitting: Report) -> Results:
    healthy = sftdiag.analyze(runs / "healthy").replace(source="runs/healthy")
    return Results([healthy, overfitting, UNREADABLE], Severity.ERROR)


def test_sarif_holds_each_finding_with_its_rule_and_place(results: Results) -> None:
    document = json.loads(sarif.render(results))
    (run,) = document["runs"]
    (found,) = run["results"]
    rule = run["tool"]["driver"]["rules"][found["ruleIndex"]]
    assert (document["version"], rule["id"], found["ruleId"]) == ("2.1.0", "SFT201", "SFT201")
    assert found["level"] == "error"
    assert "num_train_epochs to 25" in found["message"]["text"]
    place = found["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "runs/over%20fitting"
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert "no such file" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_sarif_of_healthy_runs_has_no_result(runs: Path) -> None:
    (run,) = json.loads(sarif.render(Results([sftdiag.analyze(runs / "healthy")])))["runs"]
    assert run["results"] == run["tool"]["driver"]["rules"] == []
    assert run["invocations"][0]["executionSuccessful"]


def test_junit_by_another_reader(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(junit.render(results), encoding="utf-8")
    suites = junitparser.JUnitXml.fromfile(str(path))
    healthy, sick, unread = suites
    assert (healthy.failures, healthy.errors) == (0, 0)
    assert (sick.failures, sick.errors) == (1, 0)
    assert (unread.failures, unread.errors) == (0, 1)
    assert suites.tests == sum(suite.tests for suite in suites)
    (failed,) = [case for case in sick if case.result and case.name == "eval-loss-rising"]
    (failure,) = failed.result
    assert failure.type == "SFT201"
    assert "has risen to 1.65" in failure.message
    skipped = [case for case in healthy if case.name == "forgetting"]
    assert "the model has to be asked" in skipped[0].result[0].message


def test_what_xml_cannot_hold_does_not_break_it(overfitting: Report) -> None:
    report = overfitting.replace(source="runs/\x00\x1b[31m<b>&")
    text = junit.render(Results([report]))
    (suite,) = junitparser.JUnitXml.fromstring(text.encode())
    assert suite.name == "runs/��[31m<b>&"


COMMAND = re.compile(r"::(error|warning|notice) file=([^:,]*),title=([^:,]*)::(.*)")


def test_github_commands_follow_their_grammar(results: Results) -> None:
    lines = github.render(results).splitlines()
    found = [COMMAND.fullmatch(line) for line in lines]
    assert all(found)
    assert [match[1] for match in found if match] == ["error", "error"]


@pytest.mark.parametrize("source", ["a:b,c", "50%", "two\nlines\r", "::error::x"])
def test_no_text_of_a_log_ends_a_command(overfitting: Report, source: str) -> None:
    (line,) = github.render(Results([overfitting.replace(source=source)])).splitlines()
    match = COMMAND.fullmatch(line)
    assert match
    plain = match[2].replace("%3A", ":").replace("%2C", ",").replace("%0A", "\n")
    assert plain.replace("%0D", "\r").replace("%25", "%") == source


def test_github_tells_errors_first_and_a_rule_once() -> None:
    rows = train_rows([2.0] * 60)
    report = sftdiag.analyze({"log_history": rows})
    twice = report.replace(findings=(*report.findings, *report.findings))
    levels = [line.split(" ")[0] for line in github.render(Results([twice])).splitlines()]
    assert levels == sorted(levels, key=["::error", "::warning", "::notice"].index)
    assert len(levels) == len({finding.name for finding in report.findings})


def test_markdown_leads_with_a_table_and_tells_the_change(results: Results) -> None:
    text = markdown.render(results)
    assert text.startswith("| | run | verdict | |")
    assert "| 🔴 | runs/over fitting | error · SFT201 eval-loss-rising |" in text
    assert "`SFTConfig.num_train_epochs`: 80 → 25" in text


def test_markdown_of_a_log_holds_no_markup_of_its_own(overfitting: Report) -> None:
    report = overfitting.replace(source="<img src=x> [a](b) `c` @someone | x")
    first = markdown.render(Results([report])).splitlines()[0]
    assert first.startswith(r"### 🔴 \<img src=x\> \[a\](b) \`c\` \@someone \| x: ")


def test_markdown_in_chinese(runs: Path) -> None:
    text = markdown.render(Results([sftdiag.analyze(runs / "overfitting", lang="zh")]))
    assert "**修改建议：**" in text


def test_a_baseline_accepts_what_it_holds_and_no_worse(overfitting: Report, tmp_path: Path) -> None:
    path = str(tmp_path / "baseline.json")
    baseline.write(path, [overfitting, UNREADABLE])
    accepted = baseline.read(path)
    assert accepted == {("runs/over fitting", "eval-loss-rising"): Severity.ERROR}
    assert not Results([overfitting], "error", accepted).failing(overfitting)
    milder = dict.fromkeys(accepted, Severity.WARNING)
    assert Results([overfitting], "error", milder).failing(overfitting)
    elsewhere = overfitting.replace(source="runs/other")
    assert Results([elsewhere], "error", accepted).failing(elsewhere)


def test_an_accepted_finding_is_told_as_such_everywhere(
    overfitting: Report, tmp_path: Path
) -> None:
    path = str(tmp_path / "baseline.json")
    baseline.write(path, [overfitting])
    results = Results([overfitting], "error", baseline.read(path))
    (found,) = json.loads(sarif.render(results))["runs"][0]["results"]
    assert found["suppressions"] == [{"kind": "external", "status": "accepted"}]
    (suite,) = junitparser.JUnitXml.fromstring(junit.render(results).encode())
    assert suite.failures == 0
    assert github.render(results).startswith("::notice ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[]", "expected a baseline"),
        ('{"accepted": [{"source": "a"}]}', r"accepted\[0\]"),
        ('{"accepted": [{"source": "a", "name": "b", "severity": "bad"}]}', r"accepted\[0\]"),
    ],
)
def test_a_broken_baseline_is_refused_and_not_overwritten(
    overfitting: Report, tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "notes.json"
    path.write_text(content)
    with pytest.raises(SourceError, match=says):
        baseline.read(str(path))
    with pytest.raises(SourceError, match=says):
        baseline.write(str(path), [overfitting])
    assert path.read_text() == content
