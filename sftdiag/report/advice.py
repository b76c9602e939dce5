"""What to change, and how sure its cause is: the same words in every format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sftdiag.findings import Cause, Finding, Report, Scalar, Severity, Status
from sftdiag.hints import Any

Changes = Mapping[str, tuple[Scalar, Scalar]]
"""Settings, each from what to what."""

MOST_CAUSES = 2
"""Causes told with their evidence; the others by name."""

ARROW = "->"

_SHARES = r"\s*[(（][^()（）]*%[^()（）]*[)）]"
_CLAUSES = r"[:;] |[：；]"

LONG = 1e9
"""Numbers from here on are told by their power of ten."""


def first_change(report: Report, words: Mapping[str, Any], arrow: str = ARROW) -> str:
    """Return the one change to make first, for who reads no further; empty where there is none.

    It begins with how sure it is: "Change" where a cause is likely or confirmed, else "Try".
    """
    finding = report.primary
    if finding is None or finding.severity < Severity.WARNING:
        return ""
    return change_of(finding, words, arrow)


def first_reason(report: Report, words: Mapping[str, Any]) -> str:
    """Return in a line why that is to change: the first cause, or what a check saw, in short.

    Empty where there is no change to make.
    """
    if not first_change(report, words) or report.primary is None:
        return ""
    return reasons_of(report.primary, report, words)[0]


def reasons_of(finding: Finding, report: Report, words: Mapping[str, Any]) -> list[str]:
    """Return a line for each cause that is told of a finding; of a check's what it saw, in short.

    A cause that a check of this report speaks for names the check and its rows: the change is its.
    """
    if finding.by_check:
        seen = finding.message.replace(words["looked_at"], "")
        return [words["because_first"] + words["colon"] + in_short(seen)]
    # Of a check that spoke of several sets the training rows, or else the first.
    checks = sorted(report.findings, key=lambda other: other.series == "train")
    by_code = {other.code: other for other in checks}
    told = []
    for cause in told_causes(finding.causes):
        proof = by_code.get(cause.check or "")
        told.append(stated(cause, words) + (_named(proof, words) if proof is not None else ""))
    return told


def _named(check: Finding, words: Mapping[str, Any]) -> str:
    rows = {"rows": check.evidence.get("rows"), "seen": check.evidence.get("seen")}
    counted = all(isinstance(count, int) for count in rows.values())
    key = "by_check" if counted else "by_check_uncounted"
    return str(words[key].format(code=check.code, name=check.name, **rows))


def in_short(message: str) -> str:
    """Return what a check saw up to its first colon or semicolon, without its shares.

    Examples:
        >>> in_short("4 of 9 rows (44.4%, 95 % interval 10% to 80%) are cut; the tokenizer is not.")
        '4 of 9 rows are cut'
    """
    import re  # compiled here: most reports of a healthy run have no cause to tell

    (first, *_) = re.split(_CLAUSES, re.sub(_SHARES, "", message), maxsplit=1)
    return first.rstrip(".。")


def change_when_over(finding: Finding, words: Mapping[str, Any], arrow: str = ARROW) -> str:
    """Return the same of an error that is over: the run went on, and the next one begins with it.

    Empty for all else.
    """
    was = finding.resolved_step is not None and finding.worst is Severity.ERROR
    return change_of(finding, words, arrow) if was and finding.consequence_of is None else ""


def change_of(finding: Finding, words: Mapping[str, Any], arrow: str = ARROW) -> str:
    """Return the first change of a finding with how sure it is; empty where there is none.

    A setting stands for itself where its cause is known; a guess is told with what it rests on.
    """
    for text, changes in fixes_of(advised(finding.causes)).items():
        guess = is_guess(finding)
        label = words["try_first" if guess else "change_first"]
        told = text if guess else words["comma"].join(told_changes(changes, arrow)) or text
        return f"{label}{words['colon']}{told}"
    return ""


def title(finding: Finding, words: Mapping[str, Any]) -> str:
    """Return what stands above all that can be changed: that it is to change, or to try."""
    return str(words["guess" if is_guess(finding) else "change"])


def told_causes(causes: Sequence[Cause]) -> list[Cause]:
    """Return the causes to tell with their evidence."""
    return advised(causes)[:MOST_CAUSES]


def stated(cause: Cause, words: Mapping[str, Any]) -> str:
    """Return how sure a cause is and its name."""
    return str(words["cause_" + cause.status.name.lower()] + words["colon"] + cause.name)


def other_causes(causes: Sequence[Cause], words: Mapping[str, Any]) -> str:
    """Return the names of the causes that are not told with their evidence, the surest first."""
    return str(words["stop"].join(others_by_status(causes, words)))


def others_by_status(causes: Sequence[Cause], words: Mapping[str, Any]) -> list[str]:
    """Return the same, a line for each status."""
    told = told_causes(causes)
    others = []
    for status in Status:
        names = [c.name for c in causes if c.status is status and c not in told]
        # Beside a proven cause what else could be is no news.
        settled = status is Status.POSSIBLE and told and told[0].status is Status.CONFIRMED
        if names and not settled:
            joined = words["comma"].join(names)
            others.append(words["others_" + status.name.lower()] + words["colon"] + joined)
    return others


def is_guess(finding: Finding) -> bool:
    """Return whether what to change is a guess: no cause stands out."""
    best = advised(finding.causes)
    return bool(best) and best[0].status is Status.POSSIBLE


def told_changes(changes: Changes, arrow: str = ARROW) -> list[str]:
    """Return the settings that a fix changes, each from what to what."""
    return [f"{name}: {number(old)} {arrow} {number(new)}" for name, (old, new) in changes.items()]


def fixes_of(advice: Sequence[Cause]) -> dict[str, Changes]:
    """Return each fix of these causes once, with all the settings that it changes."""
    fixes: dict[str, Changes] = {}
    for fix in (fix for cause in advice for fix in cause.fixes):
        fixes[fix.text] = {**fixes.get(fix.text, {}), **fix.changes}
    return fixes


def advised(causes: Sequence[Cause]) -> list[Cause]:
    """Return the best supported causes; of merely possible ones those that nothing contradicts."""
    best = min((cause.status.value for cause in causes), default=0)
    advised = [cause for cause in causes if cause.status.value == best]
    uncontradicted = [cause for cause in advised if not cause.against]
    return uncontradicted or advised[:1]


def number(value: object) -> str:
    """Return a setting's value, a number short."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value.is_integer() and abs(value) < LONG else f"{value:.2g}"
