"""Diagnosis: from what a detector saw to a finding with its causes and fixes."""

from __future__ import annotations

from collections.abc import Mapping

from sftdiag import texts
from sftdiag.findings import Cause, Detection, Finding, Fix, Status
from sftdiag.guide import symptoms, wording
from sftdiag.guide.base import Case, CauseRule, Evidence, Rank, Symptom, Weight, rank, settle
from sftdiag.observations import Observation, Outcome
from sftdiag.signals.stream import Signals

_FOR = (Weight.CONFIRMS, Weight.SUPPORTS, Weight.FITS)


def diagnose(
    detection: Detection,
    finding_id: str,
    fired: Mapping[str, int],
    signals: Signals,
    lang: str,
    checked: Outcome | None = None,
) -> Finding:
    """Turn a detection into a finding in one language.

    Args:
        detection: the newest state of what the detector saw.
        finding_id: the finding's id; does not change over its life.
        fired: severity label to the step at which it was reached.
        signals: the run so far.
        lang: ``"en"`` or ``"zh"``.
        checked: what the checks of rows and arguments said.
    """
    symptom = symptoms.of(detection.code)
    seen = wording.seen(symptom, lang)
    note = detection.name != symptom.name
    unit = seen["notes"][detection.name] if note else wording.of(symptom, lang)
    template = unit["seen"] if note else seen["seen"][detection.variant]
    case = Case(detection, signals, checked or Outcome())
    causes = () if note else _causes(case, symptom, lang)
    values = {**detection.evidence, "step": detection.onset_step, "series": detection.series}
    return Finding(
        finding_id,
        detection.code,
        detection.name,
        detection.severity,
        detection.series,
        texts.counted(template.format(**values)),
        unit.get("whys", {}).get(detection.variant, unit["why"]),
        detection.onset_step,
        min(fired.values()),
        dict(fired),
        evidence=dict(detection.evidence),
        causes=causes,
    )


def _causes(case: Case, symptom: Symptom, lang: str) -> tuple[Cause, ...]:
    """Return the symptom's causes, the best supported first, then in the guide's order."""
    weighed: list[tuple[Rank, int, Cause]] = []
    for rule in symptom.causes:
        variant = case.detection.variant
        if variant in rule.but or (rule.only and variant not in rule.only):
            continue
        evidence = tuple(piece for look in rule.looks if (piece := look(case)) is not None)
        if rule.needs_evidence and not evidence:
            continue
        cause = _cause(rule, evidence, case, symptom, lang)
        weighed.append((rank(evidence), len(weighed), cause))
    return tuple(cause for *_, cause in sorted(weighed, key=lambda item: item[:2]))


def _cause(
    rule: CauseRule, evidence: tuple[Evidence, ...], case: Case, symptom: Symptom, lang: str
) -> Cause:
    words = wording.of(symptom, lang)

    def say(*weights: Weight) -> tuple[str, ...]:
        told = (_sentence(piece, words, lang) for piece in evidence if piece.weight in weights)
        return tuple(dict.fromkeys(told))

    status = settle(evidence)
    decisive = (Weight.RULES_OUT,) if status is Status.RULED_OUT else _FOR
    proof = _proof(evidence) if status.value <= Status.LIKELY.value else None
    if proof is not None:
        from sftdiag.guide import preflight

        fixes = preflight.fixes(proof, lang)
    else:
        proposed = (propose(case) for propose in rule.fixes)
        fixes = tuple(
            Fix(texts.counted(words["fixes"][f.key].format(**f.values)), f.changes)
            for f in proposed
            if f is not None
        )
    return Cause(
        id=rule.id,
        name=texts.load(__file__, "causes", lang)[rule.id],
        status=status,
        because=say(*decisive),
        against=say(Weight.AGAINST),
        missing=say(Weight.MISSING),
        check=proof.code if proof is not None else None,
        fixes=fixes,
    )


def _proof(evidence: tuple[Evidence, ...]) -> Observation | None:
    """Return the check that speaks for the cause, one that confirms it before one that supports."""
    for weight in (Weight.CONFIRMS, Weight.SUPPORTS):
        for piece in evidence:
            if piece.check is not None and piece.weight is weight:
                return piece.check
    return None


def _sentence(piece: Evidence, words: texts.Texts, lang: str) -> str:
    if piece.check is not None:
        # The checks' texts load only for a run that was checked.
        from sftdiag.guide import preflight

        return f"{piece.check.code}: {preflight.message(piece.check, lang)}"
    return texts.counted(words["evidence"][piece.key].format(**piece.values))
