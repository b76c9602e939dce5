from __future__ import annotations

import pytest

from sftdiag.errors import ConfigError
from sftdiag.findings import Finding, Severity
from sftdiag.policy import Decision, Policy, Rule


def finding(code: str, name: str, severity: Severity) -> Finding:
    return Finding(f"{code}@9", code, name, severity, "loss", "m", "w", 1, 9, {severity.label: 9})


OVERFIT = finding("SFT201", "eval-loss-rising", Severity.WARNING)
NAN = finding("SFT106", "non-finite", Severity.ERROR)
NOTE = finding("SFT201", "epoch-staircase", Severity.INFO)


@pytest.mark.parametrize(
    ("trigger", "held"),
    [
        (None, set()),
        ("error", {"SFT106"}),
        (Severity.WARNING, {"SFT106", "SFT201"}),
        ({"SFT201"}, {"SFT201"}),
        ("non-finite", {"SFT106"}),
        ("SFT106,SFT107", {"SFT106"}),
        (["SFT1"], {"SFT106"}),
        ("info", {"SFT106", "SFT201"}),
        ({"SFT201": "info"}, {"SFT201"}),
        ({"SFT201": "warning", "non-finite": Severity.ERROR}, {"SFT201", "SFT106"}),
        ({"SFT201": "error"}, set()),
        ({"eval-loss-rising": "info"}, {"SFT201"}),
        ({"SFT2": "info", "SFT201": "error"}, set()),
        ({"SFT201": "error", "epoch-staircase": "info"}, {"note"}),
    ],
)
def test_what_a_trigger_holds_for(trigger: object, held: set[str]) -> None:
    rule = Rule.parse(trigger, "stop_on")  # type: ignore[arg-type]
    found = {f.code for f in (OVERFIT, NAN) if rule.holds(f)}
    if rule.holds(NOTE):
        found.add("note")
    assert found == held


@pytest.mark.parametrize(
    "trigger",
    [
        "fatal",
        {"SFT999"},
        3,
        {"error", "SFT106"},
        {"SFT999": "info"},
        {"SFT201": "fatal"},
        {3: "info"},
    ],
)
def test_a_wrong_trigger_is_refused(trigger: object) -> None:
    with pytest.raises((ConfigError, TypeError)):
        Rule.parse(trigger, "stop_on")  # type: ignore[arg-type]


def test_what_another_finding_explains_is_not_acted_on() -> None:
    policy = Policy(stop_on=Rule(Severity.WARNING), raise_on=Rule(Severity.ERROR))
    assert policy.decide(NAN) == Decision(stop=True, stop_and_raise=True)
    assert policy.decide(OVERFIT) == Decision(stop=True)
    assert policy.decide(OVERFIT.replace(consequence_of="SFT106@9")) == Decision()
    assert policy.decide(NAN.replace(resolved_step=12)) == Decision()
