"""The pytest plugin: ``--sftdiag-run``, the ``sftdiag_report`` fixture and the ``sftdiag`` marker.

Imports nothing but pytest until a test uses it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sftdiag.findings import Finding, Report

MARKER_OPTIONS = ("run", "fail_on", "select", "ignore", "lang", "require_verdict")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the command-line option."""
    group = parser.getgroup("sftdiag", "diagnosis of fine-tuning runs")
    group.addoption(
        "--sftdiag-run",
        metavar="PATH",
        help="the run that sftdiag_report and marked tests diagnose: a state, checkpoint or folder",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "sftdiag(run=None, fail_on=None, select=None, ignore=None, lang=None, "
        "require_verdict=False): fail the test unless the run (default: --sftdiag-run) is healthy",
    )


@pytest.fixture
def sftdiag_report(request: pytest.FixtureRequest) -> Report:
    """The diagnosis of the marker's run, else of ``--sftdiag-run``."""
    from sftdiag.api import analyze
    from sftdiag.errors import SftdiagError

    options = _options(request.node)
    path = _path(request.config, options)
    try:
        chosen = {name: options.get(name) for name in ("select", "ignore", "lang")}
        return analyze(path, **chosen)
    except SftdiagError as error:
        pytest.fail(f"sftdiag: {error}", pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail a marked test when its run is not healthy."""
    if item.get_closest_marker("sftdiag") is None:
        return
    from sftdiag.api import assert_healthy
    from sftdiag.errors import SftdiagError

    options = _options(item)
    path = _path(item.config, options)
    try:
        assert_healthy(path, **options)
    except (AssertionError, SftdiagError) as error:
        pytest.fail(f"sftdiag: {error}", pytrace=False)


def _options(item: pytest.Item) -> dict[str, Any]:
    marker = item.get_closest_marker("sftdiag")
    if marker is None:
        return {}
    unknown = [name for name in marker.kwargs if name not in MARKER_OPTIONS]
    if unknown or len(marker.args) > 1:
        got = ", ".join(unknown) or repr(marker.args)
        allowed = ", ".join(MARKER_OPTIONS[1:])
        pytest.fail(f"the sftdiag marker takes a run and {allowed}; got {got}", pytrace=False)
    options = dict(marker.kwargs)
    if marker.args:
        options["run"] = marker.args[0]
    return options


def _path(config: pytest.Config, options: dict[str, Any]) -> Any:
    """Return the run to diagnose, relative to where pytest was called."""
    path = options.pop("run", None) or config.getoption("--sftdiag-run")
    if path is None:
        pytest.fail("no run to diagnose: pass --sftdiag-run PATH", pytrace=False)
    if not isinstance(path, (str, os.PathLike)):
        pytest.fail(f"the sftdiag marker's run must be a path, got {path!r}", pytrace=False)
    return config.invocation_params.dir / path


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Tell a failed comparison of a report, or of its findings, by what they say."""
    from sftdiag.findings import Report

    sides = (left, right)
    if not any(isinstance(side, Report) or _are_findings(side) for side in sides):
        return None
    found = [f for s in sides for f in (s.findings if isinstance(s, Report) else _findings(s))]
    shown = [_codes(side) if _are_findings(side) else repr(side) for side in sides]
    return [f"{shown[0]} {op} {shown[1]}", "", *(line for f in found for line in _told(f))]


def _findings(side: object) -> tuple[Finding, ...]:
    return side if isinstance(side, tuple) and _are_findings(side) else ()


def _are_findings(side: object) -> bool:
    from sftdiag.findings import Finding

    return isinstance(side, tuple) and bool(side) and all(isinstance(s, Finding) for s in side)


def _codes(side: object) -> str:
    return f"({', '.join(f'{finding.code} {finding.name}' for finding in _findings(side))})"


def _told(finding: Finding) -> list[str]:
    """Return what was seen and what to change: of more, pytest shows eight lines."""
    from sftdiag.report.results import change_of

    seen = f"{finding.code} {finding.name} ({finding.severity.label}): {finding.message}"
    change = change_of(finding)
    return [seen, f"  {change}"] if change else [seen]
