"""Diagnosis: from what a detector saw to a finding with its causes and fixes."""

from __future__ import annotations

from collections.abc import Mapping

from sftdiag import detectors as detectors_package
from sftdiag import texts
from sftdiag.findings import Cause, Detection, Finding, Fix
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, settle
from sftdiag.guide.symptoms import SYMPTOMS
from sftdiag.signals import Signals

_BY_CODE = {symptom.code: symptom for symptom in SYMPTOMS}


def diagnose(
    detection: Detection, finding_id: str, fired: Mapping[str, int], signals: Signals, lang: str
) -> Finding:
    """Turn a detection into a finding in one language.

    Args:
        detection: the newest state of what the detector saw.
        finding_id: the finding's id; does not change over its life.
        fired: severity label to the step at which it was reached.
        signals: the run so far.
        lang: ``"en"`` or ``"zh"``.
    """
    symptom = _BY_CODE[detection.code]
    seen = texts.load(_home_of(symptom), symptom.name, lang)
    note = detection.name != symptom.name
    unit = seen["notes"][detection.name] if note else texts.load(__file__, symptom.name, lang)
    template = unit["seen"] if note else seen["seen"][detection.variant]
    case = Case(detection, signals)
    causes = () if note else _causes(case, symptom, lang)
    values = {**detection.evidence, "step": detection.onset_step, "series": detection.series}
    return Finding(
        finding_id,
        detection.code,
        detection.name,
        detection.severity,
        detection.series,
        template.format(**values),
        unit["why"],
        detection.onset_step,
        min(fired.values()),
        dict(fired),
        evidence=dict(detection.evidence),
        causes=causes,
    )


def _home_of(symptom: Symptom) -> str:
    """Return a file in the package whose texts tell what was seen of the symptom."""
    if symptom.seen_by == "log":
        return detectors_package.__file__
    from sftdiag import probes

    return probes.__file__


def _causes(case: Case, symptom: Symptom, lang: str) -> tuple[Cause, ...]:
    """Return the symptom's causes, the best supported first, then in the guide's order."""
    weighed: list[tuple[int, bool, int, Cause]] = []
    for rule in symptom.causes:
        evidence = tuple(piece for look in rule.looks if (piece := look(case)) is not None)
        against = any(piece.weight is Weight.AGAINST for piece in evidence)
        cause = _cause(rule, evidence, case, symptom, lang)
        weighed.append((cause.status.value, against, len(weighed), cause))
    return tuple(item[3] for item in sorted(weighed, key=lambda item: item[:3]))


def _cause(
    rule: CauseRule, evidence: tuple[Evidence, ...], case: Case, symptom: Symptom, lang: str
) -> Cause:
    words = texts.load(__file__, symptom.name, lang)
    fixes = [propose(case) for propose in rule.fixes]

    def say(*weights: Weight) -> tuple[str, ...]:
        return tuple(
            words["evidence"][piece.key].format(**piece.values)
            for piece in evidence
            if piece.weight in weights
        )

    return Cause(
        id=rule.id,
        name=texts.load(__file__, "causes", lang)[rule.id],
        status=settle(evidence),
        because=say(Weight.CONFIRMS, Weight.SUPPORTS, Weight.RULES_OUT),
        against=say(Weight.AGAINST),
        missing=say(Weight.MISSING),
        fixes=tuple(Fix(words["fixes"][f.key].format(**f.values), f.changes) for f in fixes),
    )
