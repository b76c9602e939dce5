"""Everything that a report holds, as lines: every cause with its evidence, every check by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from sftdiag import texts
from sftdiag.findings import Cause, Finding, Report, RowsSeen, Severity, Status
from sftdiag.hints import Any
from sftdiag.report import advice, rows
from sftdiag.report.line import Line
from sftdiag.report.one_line import STYLES, by_reason, told_with, verdict_parts, words_of

Below = Callable[[Finding], Iterator[Line]]
"""Lines to stand below a finding."""


def lines(
    report: Report, curves: Iterable[Line] = (), below: Below = lambda finding: iter(())
) -> Iterator[Line]:
    """Yield the report's lines, its curves below the verdict."""
    words = words_of(report.language)
    yield verdict(report, words)
    if facts := steps_done(report, words):
        yield Line(0, ((facts, "dim"),))
    yield from (Line(0, ((note, "dim"),)) for note in report.notes)
    if not report.findings and report.rows and report.summary.last_step is None:
        from sftdiag.report import quiet

        yield from (Line(0, parts) for parts in quiet.lines(report, words))
        return
    yield from curves
    explained: set[str] = set()
    for finding in report.findings:
        yield Line(0)
        again = finding.name in explained
        yield from finding_lines(finding, words, brief=_said_already(finding, report), again=again)
        yield from rows.lines(finding, report.language)
        explained.add(finding.name)
        yield from below(finding)
    yield Line(0)
    colon, comma = words["colon"], words["comma"]
    clean = [name for name in report.ran if name not in {f.name for f in report.findings}]
    if clean:
        yield Line(0, ((words["not_found"], "bold"), (colon + comma.join(clean), "")))
    if report.skipped:
        yield Line(0, ((words["not_judged"] + colon.rstrip(), "bold"),))
        yield from _skipped(report.skipped, words)
    yield from rows_seen(report.rows, words)


def failure(report: Report, failed: Sequence[Finding]) -> Iterator[Line]:
    """Yield the verdict and these findings: the message of a failed assertion."""
    words = words_of(report.language)
    yield verdict(report, words)
    if facts := steps_done(report, words):
        yield Line(0, ((facts, "dim"),))
    for finding in failed:
        yield Line(0)
        yield from finding_lines(finding, words)


def verdict(report: Report, words: Mapping[str, Any]) -> Line:
    """Return the source and what is said of it, in a line."""
    source = (report.source + words["colon"], "")
    return Line(0, (source, *verdict_parts(report, words)))


def steps_done(report: Report, words: Mapping[str, Any]) -> str:
    """Return how much of the run the log shows; empty without a log."""
    summary = report.summary
    if summary.last_step is None or summary.first_step is None:
        return ""
    if summary.max_steps:
        key = "planned" if summary.last_step <= summary.max_steps else "beyond_plan"
        facts = [words[key].format(last=summary.last_step, planned=summary.max_steps)]
    else:
        facts = [words["steps"].format(first=summary.first_step, last=summary.last_step)]
    if summary.epochs:
        facts.append(words["epochs"].format(epochs=summary.epochs))
    facts.append(words["rows"].format(rows=summary.records))
    return texts.counted(words["comma"].join(facts))


def _said_already(finding: Finding, report: Report) -> bool:
    """Return whether the symptom is over here and told in full where it stands now."""
    return finding.resolved_step is not None and any(
        other.code == finding.code and other.resolved_step is None for other in report.findings
    )


def finding_lines(
    finding: Finding, words: Mapping[str, Any], *, brief: bool = False, again: bool = False
) -> Iterator[Line]:
    """Yield a finding; ``again`` without what another onset of the same pattern has explained."""
    colon = words["colon"]
    is_note = finding.severity is Severity.INFO
    yield heading(finding, words)
    yield Line(2, ((finding.message, ""),))
    if not again:
        yield meaning(finding, words)
    if brief or finding.consequence_of is not None or (is_note and not finding.by_check):
        return
    if not finding.by_check:
        yield Line(2, ((words["causes"] + colon.rstrip(), "bold"),))
        for cause in finding.causes:
            yield from _cause(cause, words)
    yield from change(finding, words)


def heading(finding: Finding, words: Mapping[str, Any]) -> Line:
    """Return the line with a finding's code, name, severity and steps."""
    label = finding.severity.label
    if finding.by_check and not finding.fired_step:
        times = [words["before"]]
    elif not finding.fired_step:
        # A finished model that was asked without its log.
        times = []
    else:
        times = [words["onset"].format(step=finding.onset_step)]
        times.append(words["seen_at"].format(step=finding.fired_step))
    if finding.resolved_step is not None:
        times.append(words["resolved"].format(step=finding.resolved_step))
        times += [finding.resolved_because] if finding.resolved_because else []
    if finding.consequence_of is not None:
        times.append(told_with(finding, words))
    head = (f"{finding.code} {finding.name} ", "bold")
    is_note = finding.severity is Severity.INFO
    severity = (words["note" if is_note else label], STYLES[label])
    dated = ((" · " + words["comma"].join(times), "dim"),) if times else ()
    return Line(0, (head, severity, *dated))


def meaning(finding: Finding, words: Mapping[str, Any]) -> Line:
    """Return why a finding matters."""
    label = words["meaning" if finding.severity is Severity.INFO else "why"]
    return Line(2, ((label + words["colon"], "bold"), (finding.why, "")))


def change(finding: Finding, words: Mapping[str, Any]) -> Iterator[Line]:
    """Yield what to change: the fixes of the best supported causes."""
    fixes = advice.fixes_of(advice.advised(finding.causes))
    if fixes:
        yield Line(2, ((advice.title(finding, words) + words["colon"].rstrip(), "bold"),))
        for text, changes in fixes.items():
            yield Line(4, ((f"- {text}", ""),))
            yield from (Line(6, ((told, "cyan"),)) for told in advice.told_changes(changes))


def _cause(cause: Cause, words: Mapping[str, Any]) -> Iterator[Line]:
    strong = "bold" if cause.status.value <= Status.LIKELY.value else ""
    style = "dim" if cause.status is Status.RULED_OUT else strong
    colon = words["colon"]
    yield Line(4, ((words[cause.status.name.lower()] + colon + cause.name, style),))
    yield from (Line(6, ((f"- {sentence}", "dim"),)) for sentence in cause.because)
    for label, sentences in (("against", cause.against), ("missing", cause.missing)):
        for sentence in sentences:
            yield Line(6, ((f"- {words[label]}{colon}{sentence}", "dim"),))


def _skipped(skipped: Mapping[str, str], words: Mapping[str, Any]) -> Iterator[Line]:
    for reason, names in by_reason(skipped).items():
        yield Line(2, ((words["comma"].join(names), ""), (words["colon"] + reason, "dim")))


def rows_seen(rows: tuple[RowsSeen, ...], words: Mapping[str, Any]) -> Iterator[Line]:
    """Yield how many rows of each set the checks looked at."""
    for seen in rows:
        key = "rows_all" if seen.undetected == 0.0 else "rows_some"
        total = "?" if seen.total is None else f"{seen.total:,}"
        kind = words["rows_train" if seen.split == "train" else "rows_of"].format(split=seen.split)
        text = words[key].format(rows=seen.rows, total=total, kind=kind, undetected=seen.undetected)
        yield Line(0, ((texts.counted(text), "dim"),))


def setting(value: object) -> str:
    """Return a setting as it is known of a run: list items, a mapping's pairs, or a number."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
