"""Policy: what to do about a finding. Decides; the integrations act."""

from __future__ import annotations

from collections.abc import Iterable

from sftdiag.config import matches, selectors
from sftdiag.findings import Finding, Severity
from sftdiag.guide.catalogue import check_selectors
from sftdiag.values import Value

Trigger = Severity | str | Iterable[str] | None
"""A severity or its label, or codes and names; None is never."""


class Rule(Value):
    """Holds for findings of at least a severity or, at warning or worse, for selected ones.

    An ``info`` finding says why something is normal: naming its code does not make it act.
    """

    severity: Severity | None = None
    selected: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, trigger: Trigger, name: str) -> Rule:
        """Return the rule for an argument such as ``"error"`` or ``{"SFT106", "zero-loss"}``.

        Raises:
            ConfigError: a severity, code or name does not exist.
        """
        if trigger is None:
            return cls()
        if isinstance(trigger, Severity):
            return cls(trigger)
        chosen = selectors(trigger, name)
        labels = {severity.label: severity for severity in Severity}
        if len(chosen) == 1 and chosen <= labels.keys():
            return cls(labels[next(iter(chosen))])
        check_selectors(chosen)
        return cls(selected=chosen)

    def holds(self, finding: Finding) -> bool:
        """Return whether the rule holds for this finding."""
        if self.severity is not None and finding.severity >= self.severity:
            return True
        wanted = matches(self.selected, finding.code, finding.name)
        return wanted and finding.severity >= Severity.WARNING


class Decision(Value):
    """What to do about a finding that fired, rose or resolved."""

    stop: bool = False
    stop_and_raise: bool = False


class Policy(Value):
    """Acts on findings when they fire or rise, unless another active finding explains them."""

    stop_on: Rule = Rule()
    raise_on: Rule = Rule()

    def decide(self, finding: Finding) -> Decision:
        """Return what to do now; depends on the finding alone, so all ranks decide alike."""
        if finding.resolved_step is not None or finding.consequence_of is not None:
            return Decision()
        return Decision(self.stop_on.holds(finding), self.raise_on.holds(finding))
