"""Arbitration: which finding explains which. One primary finding a run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sftdiag.detectors.non_finite import OFTEN, ONE_RANK
from sftdiag.findings import Detection, Finding, Severity
from sftdiag.values import Value


class Explains(Value):
    """A finding of code ``cause`` explains those of code ``consequence``.

    ``after``: only those that began at its onset or later. ``reason`` is for the reader of this
    table. ``least``: the severity from which the cause explains them.
    """

    cause: str
    consequence: str
    after: bool
    reason: str
    least: Severity = Severity.WARNING


ORDER: tuple[str, ...] = (
    *("SFT106", "SFT107", "SFT112", "SFT108", "SFT111", "SFT110", "SFT116"),
    *("SFT104", "SFT103", "SFT102", "SFT109", "SFT105", "SFT117", "SFT101"),
    *("SFT201", "SFT202", "SFT203", "SFT204"),
    *("SFT303", "SFT302", "SFT301"),
    *("SFT404", "SFT409", "SFT410", "SFT424", "SFT422", "SFT421", "SFT403", "SFT408"),
    *("SFT401", "SFT402", "SFT405", "SFT406", "SFT414", "SFT416", "SFT417"),
)
"""Every code of the table, what breaks more first. A rule explains later ones only, so that no
finding is, by whatever chain, a consequence of itself: :func:`checked` refuses any other."""


def checked(rules: tuple[Explains, ...]) -> tuple[Explains, ...]:
    """Return the rules.

    Raises:
        ValueError: one explains a code that does not come later in :data:`ORDER`.
    """
    for rule in rules:
        if ORDER.index(rule.cause) >= ORDER.index(rule.consequence):
            raise ValueError(f"{rule.cause} cannot explain {rule.consequence}: see ORDER")
    return rules


@cache
def table() -> tuple[Explains, ...]:
    """Return the rules; made for the first run with two findings, since most have fewer."""
    return checked(
        (
            Explains("SFT106", "SFT102", False, "the climb ended in NaN"),
            Explains("SFT106", "SFT104", False, "the climb ended in NaN"),
            Explains("SFT106", "SFT109", False, "the jump ended in NaN"),
            Explains("SFT106", "SFT202", True, "no loss after a NaN means anything"),
            Explains("SFT106", "SFT112", False, "the gradient was lost before the loss was"),
            Explains("SFT107", "SFT112", False, "without a label there is no gradient"),
            *(
                Explains("SFT112", code, False, "what came last: no step is made", Severity.ERROR)
                for code in ("SFT101", "SFT102", "SFT103", "SFT104", "SFT105", "SFT109", "SFT201")
            ),
            Explains("SFT106", "SFT111", False, "weights or numbers that were lost have no level"),
            Explains("SFT107", "SFT111", False, "a loss of 0 has no level, and no label is why"),
            Explains("SFT108", "SFT111", False, "labels of another text hold the loss up"),
            *(
                Explains(
                    "SFT111", code, False, "what is no loss of text has no course", Severity.ERROR
                )
                for code in ("SFT101", "SFT102", "SFT103", "SFT105", "SFT109", "SFT201")
            ),
            Explains("SFT111", "SFT202", False, "what costs nothing from the start is not learned"),
            Explains("SFT106", "SFT107", True, "a NaN is logged as a loss of 0"),
            Explains("SFT106", "SFT101", True, "weights that are NaN do not learn"),
            Explains("SFT106", "SFT201", True, "no loss after a NaN means anything"),
            Explains("SFT106", "SFT203", True, "weights that are NaN evaluate to NaN"),
            Explains(
                "SFT107",
                "SFT203",
                False,
                "the same mask leaves the evaluation rows without a label",
            ),
            Explains(
                "SFT201",
                "SFT202",
                False,
                "both say overfitting, and the evaluation shows since when",
            ),
            Explains(
                "SFT104", "SFT101", False, "a loss that was thrown up is not flat as it was before"
            ),
            Explains("SFT102", "SFT101", False, "likewise"),
            Explains("SFT104", "SFT102", False, "a blow-up is a rebound that went on"),
            Explains("SFT104", "SFT109", False, "the jump went on"),
            Explains("SFT104", "SFT201", False, "the evaluation rises because the model is broken"),
            Explains("SFT106", "SFT105", False, "the spikes ended in NaN"),
            Explains("SFT104", "SFT105", False, "one of the spikes did not come back"),
            Explains(
                "SFT102", "SFT105", False, "the same steps that are too large, with lasting harm"
            ),
            Explains("SFT106", "SFT103", False, "the swing ended in NaN"),
            Explains("SFT104", "SFT103", False, "a blow-up is a swing that went on"),
            Explains("SFT109", "SFT101", False, "steps that are too large hold the loss up"),
            Explains("SFT102", "SFT109", False, "a rise in the warm-up that went on"),
            Explains(
                "SFT110",
                "SFT102",
                True,
                "the rate climbs to its peak a second time, without moments",
            ),
            Explains(
                "SFT110", "SFT105", True, "steps of an optimizer without moments, at a rising rate"
            ),
            Explains(
                "SFT110", "SFT109", True, "the rate that the loss rose with climbs a second time"
            ),
            *(
                Explains("SFT116", code, True, "what steps at such a rate did", Severity.ERROR)
                for code in ("SFT102", "SFT103", "SFT104")
            ),
            *(
                Explains("SFT116", code, True, "what steps at such a rate did")
                for code in ("SFT105", "SFT109")
            ),
            *(
                Explains(code, "SFT117", False, "the gradient grew with what the loss then showed")
                for code in ("SFT106", "SFT112", "SFT104", "SFT103", "SFT102", "SFT109", "SFT105")
            ),
            *(
                Explains(code, "SFT117", True, "the gradient of steps that came from there")
                for code in ("SFT110", "SFT116")
            ),
            Explains("SFT117", "SFT101", False, "steps that jump across the valley do not learn"),
            Explains("SFT103", "SFT102", False, "the swings carry the mean up"),
            Explains("SFT103", "SFT109", False, "the jump was the first swing"),
            Explains("SFT103", "SFT201", False, "the evaluation swings with the model"),
            Explains("SFT103", "SFT105", False, "the largest swings of a loss that swings"),
            Explains("SFT108", "SFT101", False, "the model unlearns to the level of a blind guess"),
            Explains("SFT108", "SFT201", False, "labels of another text do not overfit"),
            Explains("SFT107", "SFT101", False, "a loss of 0 is flat, and no label is why"),
            Explains("SFT107", "SFT201", False, "a model without labels does not overfit"),
            Explains("SFT101", "SFT201", False, "a model that does not learn does not overfit"),
            *(
                Explains(cause, probed, True, "a broken model cannot be asked")
                for cause in ("SFT106", "SFT104")
                for probed in ("SFT301", "SFT302", "SFT303")
            ),
            Explains("SFT108", "SFT301", False, "labels of another text teach no language"),
            Explains("SFT108", "SFT302", False, "labels of another text unteach the language"),
            Explains("SFT108", "SFT303", False, "labels of another text teach no reply"),
            Explains("SFT107", "SFT303", False, "a model without labels learns no reply"),
            Explains("SFT101", "SFT303", False, "a model that does not learn learns no reply"),
            Explains("SFT201", "SFT301", False, "an overfitted model says what it knows by heart"),
            Explains("SFT202", "SFT301", False, "a model that knows its rows by heart says them"),
            Explains("SFT303", "SFT301", False, "a reply that does not end runs on in circles"),
            Explains("SFT409", "SFT406", False, "the mask is made from the template's marks"),
            Explains("SFT409", "SFT401", False, "the mask is made from the template's marks"),
            Explains("SFT403", "SFT402", False, "the same length leaves rows without a label"),
            Explains("SFT408", "SFT402", False, "answers that are cut off whole leave no label"),
            Explains("SFT408", "SFT401", False, "likewise, in every row", Severity.ERROR),
            Explains(
                "SFT422", "SFT405", False, "the labels that the answers lack are the prompts'"
            ),
            Explains(
                "SFT422", "SFT406", False, "no token of the answers is trained, nor their end"
            ),
            Explains("SFT421", "SFT417", False, "answers that hold nothing are all the same"),
            Explains("SFT421", "SFT416", False, "answers that hold nothing are all the same"),
            Explains("SFT410", "SFT414", False, "another template has other tokens"),
            Explains("SFT404", "SFT406", False, "labels that moved miss the end of the answer"),
            Explains(
                "SFT410", "SFT401", False, "roles that the template does not know have no label"
            ),
            Explains("SFT410", "SFT406", False, "another template ends turns with another token"),
            Explains("SFT410", "SFT416", False, "rows of which nothing is written are the same"),
            Explains("SFT424", "SFT421", False, "calls that are not written leave empty answers"),
            Explains("SFT424", "SFT416", False, "rows without what tells them apart are the same"),
        )
    )


SPOILS: Mapping[str, Severity] = {
    "SFT102": Severity.ERROR,
    "SFT104": Severity.INFO,
    "SFT106": Severity.INFO,
}
"""With these, from this severity on, the weights are worse from the onset on: what they learned is
lost, blown up, NaN. No evaluation of them is the best, however few came before."""


def spoils(seen: Detection) -> bool:
    """Return whether the weights from the onset on are spoiled; NaN that passes spoils none."""
    least = SPOILS.get(seen.code)
    return least is not None and seen.severity >= least and seen.variant not in (OFTEN, ONE_RANK)


LOST = "SFT106"
"""The code of weights that are NaN: there is nothing left to mend otherwise."""


class Claim(Value):
    """What arbitration needs to know of a finding."""

    id: str
    code: str
    severity: Severity
    onset_step: int
    fired_step: int
    resolved_step: int | None


def explained_by(claim: Claim, claims: tuple[Claim, ...]) -> str | None:
    """Return the id of the finding that explains this one, or None; ``claims`` has its own, too."""
    if claim.severity is Severity.INFO or len(claims) < 2:
        return None
    for rule in table():
        if rule.consequence != claim.code:
            continue
        for cause in claims:
            active = cause.resolved_step is None and cause.severity >= rule.least
            in_time = not rule.after or claim.fired_step >= cause.onset_step
            if cause.code == rule.cause and active and in_time:
                return cause.id
    return None


def told_with(symptoms: tuple[Finding, ...], checked: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the checks' findings; those that are a symptom's cause refer to it as its own."""
    caused = {
        cause.check: symptom.id
        for symptom in sorted(symptoms, key=importance, reverse=True)
        if symptom.resolved_step is None and symptom.severity >= Severity.WARNING
        for cause in symptom.causes
        if cause.check is not None
    }
    return tuple(
        finding.replace(consequence_of=finding.consequence_of or caused.get(finding.code))
        for finding in checked
    )


def importance(finding: Finding) -> tuple[bool, bool, int, bool, bool, int]:
    """Return a sorting key: unresolved, unexplained, severe and early findings first.

    What the run itself shows comes before what a check expects of it, and weights that are lost
    before all that was wrong with them earlier.
    """
    return (
        finding.resolved_step is not None,
        finding.consequence_of is not None,
        -finding.severity,
        finding.by_check,
        finding.code != LOST,
        finding.onset_step,
    )


def primary(findings: tuple[Finding, ...]) -> str | None:
    """Return the id of the finding to look at first; notes and resolved ones do not count."""
    first = min(findings, key=importance, default=None)
    if first is None or first.resolved_step is not None or first.severity < Severity.WARNING:
        return None
    return first.id
