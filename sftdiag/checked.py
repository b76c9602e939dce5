"""Checked: what the checks of rows and arguments said of a run, over its resumes."""

from __future__ import annotations

from sftdiag.config import Settings
from sftdiag.findings import Finding, Severity
from sftdiag.observations import UNREAD, UNTOLD, Outcome


class Checked:
    """The outcome so far; its texts load only for a run that was checked."""

    def __init__(self, settings: Settings) -> None:
        self.outcome = Outcome()
        self._settings = settings
        self._resumed_after = 0
        self._over: dict[str, tuple[int, str]] = {}

    def take(self, outcome: Outcome) -> tuple[Finding, ...]:
        """Take in what was said; return what was found that is not known yet.

        A later outcome, such as that of an evaluation set, adds to an earlier one.
        """
        from sftdiag.guide import preflight

        known, said = self.outcome, preflight.selected(outcome, self._settings)
        since = tuple(o for o in known.observations if o.step >= self._resumed_after)
        new = said.beyond(known.replace(observations=since))
        self.outcome = known.joined(new).located(said)
        return preflight.findings(new, self._settings.lang)

    def end_all(self, step: int, because: str) -> None:
        """Resolve what was found before a step at which the run was resumed."""
        for finding in self.findings():
            if finding.fired_step < step:
                self._over.setdefault(finding.id, (step, because))
        self._resumed_after = step

    def findings(self) -> tuple[Finding, ...]:
        """Return all that was found."""
        if not self.outcome.observations:
            return ()
        from sftdiag.guide import preflight

        found = []
        for finding in preflight.findings(self.outcome, self._settings.lang):
            step, because = self._over.get(finding.id, (None, None))
            found.append(finding.replace(resolved_step=step, resolved_because=because))
        return tuple(found)

    @property
    def warned(self) -> frozenset[str]:
        """The codes of warnings, or worse, that are not over."""
        return frozenset(
            finding.code
            for finding in self.findings()
            if finding.resolved_step is None and finding.severity >= Severity.WARNING
        )

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the checks that asked the model and could not judge nevertheless."""
        return tuple(name for name, skip in self.outcome.skipped.items() if skip.key == UNREAD)

    @property
    def reserved(self) -> tuple[str, ...]:
        """Names of the checks that could not tell what no curve shows later."""
        keys = (UNREAD, *UNTOLD)
        return tuple(name for name, skip in self.outcome.skipped.items() if skip.key in keys)

    def skipped(self) -> dict[str, str]:
        """Return why each check that could not judge could not."""
        if not self.outcome.skipped:
            return {}
        from sftdiag.guide import preflight

        return preflight.skip_reasons(self.outcome, self._settings.lang)
