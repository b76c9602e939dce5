"""Policy: what to do about a finding. Decides; the watch acts."""

from __future__ import annotations

from collections.abc import Mapping

from sftdiag.config import Settings, Trigger, matches, selectors
from sftdiag.errors import ConfigError
from sftdiag.findings import Finding, Severity
from sftdiag.guide.arbitration import SPOILS
from sftdiag.guide.catalogue import NOTES, check_selectors
from sftdiag.values import EMPTY, Value

NEVER_SAVED: Mapping[str, Severity] = {
    **SPOILS,
    "SFT116": Severity.ERROR,
    "SFT201": Severity.INFO,
}
"""With these, from this severity on, the weights at a stop are worse than older ones: what they
learned lost, blown up, NaN, stepped on at a wild rate, overfitted."""


class Rule(Value):
    """Holds for findings of at least a severity, and for selected ones from their own severity on.

    Codes and names given without a severity hold from warning on. A note that says why something is
    normal acts only when its own name was asked for. Where several selectors
    fit, the most exact one counts: a name before a code, a longer code before a shorter one.
    """

    severity: Severity | None = None
    selected: Mapping[str, Severity] = EMPTY

    @classmethod
    def parse(cls, trigger: Trigger, name: str) -> Rule:
        """Return the rule for ``"error"``, ``{"SFT106", "zero-loss"}`` or ``{"SFT201": "info"}``.

        Raises:
            ConfigError: a severity, code or name does not exist.
        """
        if trigger is None:
            return cls()
        if isinstance(trigger, Severity):
            return cls(trigger)
        if isinstance(trigger, Mapping):
            return cls(selected=_parse_mapping(trigger, name))
        chosen = selectors(trigger, name)
        labels = {severity.label: severity for severity in Severity}
        if len(chosen) == 1 and chosen <= labels.keys():
            return cls(labels[next(iter(chosen))])
        check_selectors(chosen)
        return cls(selected=dict.fromkeys(sorted(chosen), Severity.WARNING))

    def holds(self, finding: Finding) -> bool:
        """Return whether the rule holds for this finding."""
        if finding.name in NOTES and finding.name not in self.selected:
            return False
        if self.severity is not None and finding.severity >= self.severity:
            return True
        fitting = [s for s in self.selected if matches((s,), finding.code, finding.name)]
        if not fitting:
            return False
        exact = max(fitting, key=lambda s: (s == finding.name, len(s)))
        return finding.severity >= self.selected[exact]


def _parse_mapping(trigger: Mapping[str, Severity | str], name: str) -> Mapping[str, Severity]:
    if not all(isinstance(selector, str) for selector in trigger):
        raise ConfigError(f"{name} must map codes or names to severities, got {trigger!r}")
    check_selectors(trigger)
    try:
        return {selector: Severity.parse(label) for selector, label in trigger.items()}
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


class Decision(Value):
    """What to do about a finding that fired, rose or resolved."""

    stop: bool = False
    stop_and_raise: bool = False


class Policy(Value):
    """Acts on findings when they fire or rise, unless another active finding explains them.

    Attributes:
        stop_on: what stops the run.
        raise_on: what ends it with an exception.
        grace_steps: before this step nothing stops or raises; what fired earlier and is still
            there then acts.
        save_on_stop: whether a stop saves a checkpoint, where that does no harm.

    """

    stop_on: Rule = Rule()
    raise_on: Rule = Rule()
    grace_steps: int = 0
    save_on_stop: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """Return what the settings ask for.

        Raises:
            ConfigError: a severity, code or name does not exist.
        """
        return cls(
            Rule.parse(settings.stop_on, "stop_on"),
            Rule.parse(settings.raise_on, "raise_on"),
            settings.grace_steps,
            settings.save_on_stop,
        )

    @property
    def acts(self) -> bool:
        """Whether anything stops or raises."""
        return self.stop_on != Rule() or self.raise_on != Rule()

    def decide(self, finding: Finding) -> Decision:
        """Return what to do now; depends on the finding alone, so all ranks decide alike."""
        if finding.resolved_step is not None or finding.consequence_of is not None:
            return Decision()
        return Decision(self.stop_on.holds(finding), self.raise_on.holds(finding))
