"""A finding, a verdict or a stop as one line: for the log, alerts, trackers and webhooks."""

from __future__ import annotations

from collections.abc import Mapping

from sftdiag import texts
from sftdiag.findings import Finding, Report, Severity, Status
from sftdiag.hints import Any
from sftdiag.signals.evaluations import Evaluation

STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "info": "bold cyan",
    "healthy": "bold green",
    "inconclusive": "bold magenta",
}
"""How rich shows each verdict and severity."""


def words_of(language: str) -> texts.Texts:
    """Return the words of every report for a person."""
    return texts.load(__file__, "text", language)


def summary_line(report: Report) -> str:
    """Return the verdict as one line, without the source."""
    words = words_of(report.language)
    return "".join(text for text, _ in verdict_parts(report, words))


def tell(finding: Finding, language: str) -> str:
    """Return what was seen, why it matters and what to do, in this order, as one line."""
    words = words_of(language)
    if finding.resolved_step is not None:
        over: str = words["over"].format(
            code=finding.code, name=finding.name, step=finding.resolved_step
        )
        because = finding.resolved_because
        return f"{over}{words['colon']}{because}" if because else over
    label = finding.severity.label
    head = words["told_before" if finding.fired_step == 0 else "told"].format(
        severity=words[label] if finding.severity > Severity.INFO else words["note"],
        code=finding.code,
        name=finding.name,
        step=finding.fired[label],
    )
    return f"{head}{words['colon']}{tell_body(finding, language)}"


def tell_body(finding: Finding, language: str) -> str:
    """Return the same without code, name and step, for where they stand already."""
    if finding.resolved_step is not None:
        return finding.resolved_because or finding.message
    words = words_of(language)
    text: str = words["told_why"].format(message=finding.message, why=finding.why)
    if finding.consequence_of is not None:
        return f"{text} ({told_with(finding, words)})"
    likely = [c for c in finding.causes if c.status.value <= Status.LIKELY.value]
    for cause in likely[:1]:
        text += words["told_cause"].format(
            status=words[cause.status.name.lower()],
            cause=cause.name,
            fixes="; ".join(fix.text for fix in cause.fixes),
        )
    return text


def told_with(finding: Finding, words: Mapping[str, Any]) -> str:
    """Return which finding this one belongs to: its consequence, its cause, or the same again."""
    other = finding.consequence_of or ""
    if other.partition("@")[0] == finding.code:
        series = other.partition(":")[2] or "train"
        return str(words["same_as"].format(id=other, series=series))
    key = "cause_of" if is_cause_of(finding) else "consequence"
    return str(words[key].format(id=other))


def stop_line(
    cause: Finding,
    step: int,
    planned: int | None,
    best: tuple[str, Evaluation] | None,
    checkpoint: int | None,
    saved: str | None,
    language: str,
    *,
    model_follows: bool = False,
) -> str:
    """Return where a run was stopped, its best evaluation, where to go back to, what was saved.

    ``saved`` is the key of the sentence on what was saved at the stop; None where nothing is known
    of what the run saves. ``model_follows``: the framework's command writes the model after it.
    """
    words = words_of(language)
    text: str = words["stopped_unplanned" if planned is None else "stopped"].format(
        step=step, planned=planned, code=cause.code, name=cause.name
    )
    if best is not None:
        series, evaluation = best
        text += words["best"].format(series=series, loss=evaluation.loss, step=evaluation.step)
    if checkpoint is not None:
        text += words["nearest_kept" if saved == "saves_end" else "nearest"].format(step=checkpoint)
    elif saved is not None:
        text += words["no_checkpoint"]
    if saved is not None:
        text += words[saved].format(step=step)
    return text + words["model_follows"] if model_follows else text


def about(finding: Finding, words: Mapping[str, Any]) -> list[str]:
    """Return what stands beside a finding's name: severity, whether it is over, what it is of."""
    label = finding.severity.label
    told = [words["note" if finding.severity is Severity.INFO else label]]
    if finding.resolved_step is not None:
        told.append(words["resolved"].format(step=finding.resolved_step))
    if finding.consequence_of is not None:
        told.append(told_with(finding, words))
    return told


def by_reason(skipped: Mapping[str, str]) -> dict[str, list[str]]:
    """Return each reason why something could not judge, with the names that it holds for."""
    found: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        found.setdefault(reason, []).append(name)
    return found


def _worse(report: Report, primary: Finding, words: Mapping[str, Any]) -> str:
    """Return what is worse than the finding that stands first, and why it does not; or nothing.

    The verdict follows the worst finding, and a root stands before what follows from it.
    """
    worse = [f for f in report.at_least(Severity.WARNING) if f.severity > primary.severity]
    worst = max(worse, key=lambda finding: finding.severity, default=None)
    if worst is None:
        return ""
    key = "worse"
    if worst.consequence_of == primary.id:
        key = "worse_cause" if is_cause_of(worst) else "worse_consequence"
    label = words[worst.severity.label]
    return str(words[key].format(code=worst.code, name=worst.name, label=label))


def is_cause_of(finding: Finding) -> bool:
    """Return whether the other finding that one belongs to is its symptom, not its root."""
    other = finding.consequence_of or ""
    return finding.by_check and not other.startswith(("SFT4", "SFT5"))


def verdict_parts(report: Report, words: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the verdict as (text, rich style) parts."""
    parts = [(words[report.verdict], STYLES[report.verdict])]
    if report.primary is not None:
        parts.append((f" · {report.primary.code} {report.primary.name}", ""))
        if told := _worse(report, report.primary, words):
            parts.append((told, ""))
    elif report.reason:
        parts.append((words["colon"] + report.reason, ""))
    else:
        was_ill = any(finding.worst >= Severity.WARNING for finding in report.findings)
        parts.append((words["stop"] + words["all_over" if was_ill else "all_well"], ""))
    if report.reserved and report.verdict in ("healthy", "info"):
        names = words["comma"].join(report.reserved)
        parts.append((words["reserved"].format(names=names), ""))
    return parts
