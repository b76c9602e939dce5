"""Whatever a log holds: a report in both languages or one clear line, never a traceback."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from mutated import beside, files

from sftdiag.api import replay
from sftdiag.config import Settings
from sftdiag.errors import SourceError
from sftdiag.findings import Report
from sftdiag.report import json as json_renderer
from sftdiag.report import text
from sftdiag.sources import Run, open_run

FEW_POINTS = (
    r"too few (?:points|evaluations)[^\n]*?: ([\d,]+) of ([\d,]+)",
    r"太少[^\n]*?：([\d,]+) / ([\d,]+)",
)


def no_constant(word: str) -> float:
    raise AssertionError(f"bare {word} in the JSON")


def check(report: Report) -> None:
    """Check what holds of every report."""
    document = json.loads(json_renderer.render([report]), parse_constant=no_constant)
    assert Report.from_dict(document["reports"][0]).to_dict() == document["reports"][0]
    findings = {finding.id: finding for finding in report.findings}
    assert len(findings) == len(report.findings)
    for finding in report.findings:
        passed, at = {finding.id}, finding.consequence_of
        while at is not None:
            assert at in findings, f"{at} explains {finding.id} and is not told"
            assert at not in passed, f"a ring of consequences at {at}"
            passed.add(at)
            at = findings[at].consequence_of
    if report.primary is not None:
        cause = report.primary.consequence_of
        assert cause is None or findings[cause].resolved_step is not None
    written = text.render(report)
    assert "internal error" not in written
    for pattern in FEW_POINTS:
        for have, need in re.findall(pattern, written):
            assert int(have.replace(",", "")) < int(need.replace(",", "")), written


def opened(path: Path) -> tuple[Run | None, str]:
    """Return the run, or None and what is wrong with the file."""
    try:
        return open_run(path), ""
    except SourceError as error:
        return None, str(error)


def check_run(content: bytes, others: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trainer_state.json")
        path.write_bytes(content)
        for name, written in others.items():
            Path(folder, name).parent.mkdir(exist_ok=True)
            Path(folder, name).write_bytes(written)
        run, said = opened(path)
        if run is None:
            assert len(said.splitlines()) == 1
            assert said.startswith(f"{path}: ")
            return
        # Rows of a text log are read while they are replayed.
        reports = [replay(run, Settings(lang=lang)) for lang in ("en", "zh")]
    for report in reports:
        check(report)
    first, second = reports
    assert [f.id for f in first.findings] == [f.id for f in second.findings]


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(files(), beside())
def test_a_mutated_log_gives_a_report_or_one_line(content: bytes, others: dict[str, bytes]) -> None:
    check_run(content, others)


@pytest.mark.acceptance
@settings(max_examples=20_000, suppress_health_check=list(HealthCheck), database=None)
@given(files(), beside())
def test_twenty_thousand_mutated_logs(content: bytes, others: dict[str, bytes]) -> None:
    check_run(content, others)
