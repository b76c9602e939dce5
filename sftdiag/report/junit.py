"""JUnit XML: a suite a run, a case a check, as CI systems show tests."""

from __future__ import annotations

from xml.etree import ElementTree

from sftdiag.findings import Report
from sftdiag.report.printable import printable
from sftdiag.report.results import Results, change_of, current


def render(results: Results) -> str:
    """Return the document; a finding that fails its run is a failed case, other ones its output."""
    root = ElementTree.Element("testsuites", name="sftdiag")
    for found in results.found:
        if isinstance(found, Report):
            _suite(root, results, found)
        else:
            suite = ElementTree.SubElement(root, "testsuite", name=printable(found["source"]))
            case = ElementTree.SubElement(
                suite, "testcase", classname=printable(found["source"]), name="read the log"
            )
            ElementTree.SubElement(
                case, "error", message=printable(found["error"]), type="unreadable"
            )
            _count(suite)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _suite(root: ElementTree.Element, results: Results, report: Report) -> None:
    source = printable(report.source)
    suite = ElementTree.SubElement(root, "testsuite", name=source)
    failing = {finding.id for finding in results.failing(report)}
    findings = {finding.name: finding for finding in current(report)}
    names = dict.fromkeys([*findings, *report.ran, *report.skipped])
    for name in names:
        case = ElementTree.SubElement(suite, "testcase", classname=source, name=name)
        finding = findings.get(name)
        if finding is not None:
            change = change_of(finding)
            text = "\n".join(part for part in (finding.message, finding.why, change) if part)
            if finding.id in failing:
                failure = ElementTree.SubElement(
                    case, "failure", message=printable(finding.message), type=finding.code
                )
                failure.text = printable(text)
            else:
                ElementTree.SubElement(case, "system-out").text = printable(text)
        elif name not in report.ran:
            ElementTree.SubElement(case, "skipped", message=printable(report.skipped[name]))
    _count(suite)


def _count(suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in suite)))
