"""One primary finding, and no finding that is a consequence of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdiag.findings import Finding, Severity
from sftdiag.guide.arbitration import ORDER, Claim, Explains, checked, explained_by, primary, table

CODES = st.sampled_from(ORDER)
STEPS = st.integers(0, 50)


@st.composite
def claims(draw: st.DrawFn) -> tuple[Claim, ...]:
    found = []
    for number, code in enumerate(draw(st.lists(CODES, max_size=12))):
        onset = draw(STEPS)
        fired = onset + draw(STEPS)
        resolved = draw(st.none() | st.just(fired + 1))
        severity = draw(st.sampled_from(Severity))
        found.append(Claim(f"{code}@{number}", code, severity, onset, fired, resolved))
    return tuple(found)


def told(claim: Claim, among: tuple[Claim, ...]) -> Finding:
    return Finding(
        claim.id,
        claim.code,
        "name",
        claim.severity,
        "loss",
        "seen",
        "why",
        claim.onset_step,
        claim.fired_step,
        {claim.severity.label: claim.fired_step},
        claim.resolved_step,
        explained_by(claim, among),
    )


@given(claims())
def test_no_chain_of_consequences_comes_back_and_the_primary_is_at_its_head(
    among: tuple[Claim, ...],
) -> None:
    findings = {claim.id: told(claim, among) for claim in among}
    for finding in findings.values():
        at, passed = finding.consequence_of, {finding.id}
        while at is not None:
            assert at not in passed
            passed.add(at)
            assert findings[at].resolved_step is None
            assert findings[at].severity >= Severity.WARNING
            at = findings[at].consequence_of
    first = primary(tuple(findings.values()))
    active = [
        f for f in findings.values() if f.resolved_step is None and f.severity > Severity.INFO
    ]
    assert (first is None) is not bool(active)
    if first is not None:
        assert findings[first].consequence_of is None


def test_the_table_goes_down_the_order_only() -> None:
    assert len(set(ORDER)) == len(ORDER)
    assert checked(table()) == table()
    with pytest.raises(ValueError, match="SFT101 cannot explain SFT106"):
        checked((Explains("SFT101", "SFT106", False, "a ring"),))
    with pytest.raises(ValueError, match="SFT101 cannot explain SFT101"):
        checked((Explains("SFT101", "SFT101", False, "itself"),))
