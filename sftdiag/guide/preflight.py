"""From what the checks observed to findings in one language."""

from __future__ import annotations

from collections.abc import Mapping

from sftdiag import checks as checks_package
from sftdiag import texts
from sftdiag.checks.base import ARGUMENTS
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import Cause, Finding, Fix, Report, Scalar, Severity, Status, Summary
from sftdiag.guide import arbitration
from sftdiag.observations import Observation, Outcome, Skip

ROWS_SEEN = "no-supervised-token"
"""The check that is skipped for no other reason than that no training row could be looked at."""


def selected(outcome: Outcome, settings: Settings) -> Outcome:
    """Return the outcome with the checks that the settings leave out as skipped."""
    wanted = [o for o in outcome.observations if settings.reports(o.code, o.name)]
    codes = {check.name: check.code for check in checks_package.CHECKS}
    left_out = {
        name: Skip("not_selected")
        for name in (*outcome.ran, *outcome.skipped)
        if not settings.reports(codes.get(name, ""), name)
    }
    return outcome.replace(
        observations=tuple(wanted),
        ran=tuple(name for name in outcome.ran if name not in left_out),
        skipped={**outcome.skipped, **left_out},
    )


def findings(outcome: Outcome, lang: str) -> tuple[Finding, ...]:
    """Return one finding an observation, in one language.

    What the training rows show explains the same in an evaluation set, which was made like them. A
    cause is as severe as what it is proven to lead to, which alone would be told and acted on.
    """
    found = [_finding(o, lang) for o in outcome.observations]
    claims = tuple(
        arbitration.Claim(f.id, f.code, f.severity, f.onset_step, f.fired_step, None) for f in found
    )
    first: dict[str, str] = {}
    explained = []
    worst = {finding.id: finding.severity for finding in found}
    for finding, claim in zip(found, claims, strict=True):
        earlier = first.setdefault(finding.code, finding.id)
        same = earlier if earlier != finding.id else None
        cause = arbitration.explained_by(claim, claims)
        if cause is not None:
            worst[cause] = max(worst[cause], finding.severity)
        explained.append(finding.replace(consequence_of=cause or same))
    return tuple(_raised(finding, worst[finding.id]) for finding in explained)


def _raised(finding: Finding, severity: Severity) -> Finding:
    """Return the finding at this severity, which it had from its step on."""
    if severity is finding.severity:
        return finding
    return finding.replace(severity=severity, fired={severity.label: finding.fired_step})


def finding_id(seen: Observation) -> str:
    """Return the id of the finding that an observation becomes."""
    suffix = "" if seen.series in ("train", ARGUMENTS) else f":{seen.series}"
    return f"{seen.code}@{seen.step}{suffix}"


def skip_reasons(outcome: Outcome, lang: str) -> dict[str, str]:
    """Return why each skipped check could not judge."""
    words = texts.load(checks_package.__file__, "skipped", lang)
    return {name: words[s.key].format(**s.values) for name, s in outcome.skipped.items()}


def report(
    outcome: Outcome, settings: Settings, source: str, known: RunContext | None = None
) -> Report:
    """Return the report on a run of which nothing but the checks before step 1 is known.

    Args:
        outcome: what they say.
        settings: what is reported, and in which language.
        source: where it comes from.
        known: what is known of the run, in whose words fixes are told.
    """
    from sftdiag.guide.dialect import spoken  # loads with the checks alone

    chosen, known = selected(outcome, settings), known or RunContext()
    told = (spoken(each, known, settings.lang) for each in findings(chosen, settings.lang))
    found = tuple(sorted(told, key=arbitration.importance))
    worst = max((finding.severity for finding in found), default=None)
    reason = None
    if not chosen.ran:
        reason = texts.load(checks_package.__file__, "skipped", settings.lang)["nothing_ran"]
    elif not any(rows.split == "train" for rows in chosen.rows):
        # Arguments alone do not make a run healthy: nothing is known of its labels.
        reason = skip_reasons(chosen, settings.lang).get(ROWS_SEEN)
    return Report(
        source,
        worst.label if worst else "inconclusive" if reason else "healthy",
        Summary(),
        reason,
        arbitration.primary(found),
        found,
        chosen.ran,
        skip_reasons(chosen, settings.lang),
        chosen.rows,
        language=settings.lang,
    )


def message(seen: Observation, lang: str) -> str:
    """Return what was seen, with its numbers."""
    values = _phrases({**seen.evidence, "series": seen.series}, lang)
    unit = texts.load(checks_package.__file__, seen.name, lang)
    text = texts.counted(unit["seen"][seen.variant].format(**values))
    if not seen.ranks:
        return text
    words = texts.load(checks_package.__file__, "ranks", lang)
    return text + str(words["seen_on"].format(ranks=", ".join(map(str, seen.ranks))))


def fixes(seen: Observation, lang: str) -> tuple[Fix, ...]:
    """Return what to change."""
    words = texts.load(checks_package.__file__, seen.name, lang)["fixes"]
    return tuple(Fix(words[f.key], f.changes) for f in seen.fixes)


def _finding(seen: Observation, lang: str) -> Finding:
    unit = texts.load(checks_package.__file__, seen.name, lang)
    cause = Cause(
        id=seen.cause,
        name=texts.load(__file__, "causes", lang)[seen.cause],
        status=Status.CONFIRMED,
        check=seen.code,
        fixes=fixes(seen, lang),
    )
    return Finding(
        finding_id(seen),
        seen.code,
        seen.name,
        seen.severity,
        seen.series,
        message(seen, lang),
        unit["why"],
        seen.step,
        seen.step,
        {seen.severity.label: seen.step},
        evidence=_evidence(seen),
        causes=(cause,),
    )


def _evidence(seen: Observation) -> dict[str, Scalar]:
    if not seen.ranks:
        return dict(seen.evidence)
    return {**seen.evidence, "ranks": ", ".join(map(str, seen.ranks))}


def _phrases(evidence: Mapping[str, Scalar], lang: str) -> dict[str, Scalar]:
    """Return the evidence with each share that has an interval, and each range, as a phrase."""
    words = texts.load(checks_package.__file__, "shares", lang)
    phrases: dict[str, Scalar] = dict(evidence)
    for name in evidence:
        low, high = evidence.get(f"{name}_low"), evidence.get(f"{name}_high")
        if low is not None and high is not None and name.startswith("share"):
            key = "known" if low == high else "estimated"
            phrases[name] = words[key].format(share=evidence[name], low=low, high=high)
    for name in ("guide", "newer"):
        low, high = evidence.get(f"{name}_low"), evidence.get(f"{name}_high")
        if low is not None and high is not None:
            key = "one" if low == high else "range"
            phrases[f"{name}_range"] = words[key].format(low=low, high=high)
    return phrases
