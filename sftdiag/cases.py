"""Cases: the life of a finding, from the first detection to the last; one case an onset."""

from __future__ import annotations

from collections.abc import Iterable

from sftdiag.findings import Detection, StepRows
from sftdiag.guide import arbitration
from sftdiag.guide.rows_behind import steps_behind

MAX_ONSETS = 8
"""Onsets of one pattern reported apart; a pattern that comes and goes more often stays one."""


class Case:
    """A finding in the making: the newest detection and when each severity was reached."""

    def __init__(self, finding_id: str, detection: Detection) -> None:
        self.id = finding_id
        self.detection = detection
        self.fired: dict[str, int] = {}
        self.resolved_step: int | None = None
        self.resolved_because: str | None = None

    @property
    def claim(self) -> arbitration.Claim:
        """What arbitration looks at."""
        seen = self.detection
        fired = min(self.fired.values())
        return arbitration.Claim(
            self.id, seen.code, seen.severity, seen.onset_step, fired, self.resolved_step
        )


class Cases:
    """All cases of a run, by pattern and series, and the rows behind them."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, StepRows]] = {}
        self._by_key: dict[tuple[str, str, str], list[Case]] = {}

    @property
    def all(self) -> list[Case]:
        """Every case, those of one pattern together and in order."""
        return [case for cases in self._by_key.values() for case in cases]

    @property
    def sound_until(self) -> int | None:
        """The last step whose weights are not spoiled by what is not over; None: all are sound."""
        seen = (case.detection for case in self.all if case.resolved_step is None)
        return min((one.onset_step for one in seen if arbitration.spoils(one)), default=None)

    @property
    def claims(self) -> tuple[arbitration.Claim, ...]:
        """What arbitration looks at, of every case."""
        return tuple(case.claim for case in self.all)

    def take_rows(self, rows: Iterable[StepRows]) -> None:
        """Keep which rows steps were made of; a step that is told again replaces what was kept."""
        for each in rows:
            self._rows.setdefault(each.step, {})[each.rank] = each

    def rows_of(self, case: Case) -> tuple[StepRows, ...]:
        """Return the rows behind a case, as far as they are known, the first to look at first."""
        if not self._rows:
            return ()
        known = (self._rows.get(step, {}) for step in steps_behind(case.detection))
        return tuple(rows for ranks in known for _, rows in sorted(ranks.items()))

    def steps_wanted(self) -> tuple[int, ...]:
        """Return the steps whose rows are behind a case and not known."""
        if not self._by_key:
            return ()
        wanted = {step for case in self.all for step in steps_behind(case.detection)}
        return tuple(sorted(wanted - self._rows.keys()))

    def end_all(self, step: int, because: str) -> list[Case]:
        """Resolve every active case for a reason that no detector sees; return these."""
        active = [case for case in self.all if case.resolved_step is None]
        for case in active:
            case.resolved_step, case.resolved_because = step, because
        return active

    def take(self, detection: Detection) -> Case | None:
        """File a detection; return its case when that is news."""
        key = (detection.code, detection.name, detection.series)
        cases = self._by_key.setdefault(key, [])
        case = cases[-1] if cases else None
        if detection.resolved:
            if case is None or case.resolved_step is not None:
                return None
            case.resolved_step = detection.step
            return case
        if case is None or (case.resolved_step is not None and len(cases) < MAX_ONSETS):
            case = Case(self._new_id(detection), detection)
            cases.append(case)
        reopened = case.resolved_step is not None
        case.resolved_step = case.resolved_because = None
        case.detection = detection.replace(
            onset_step=case.detection.onset_step,
            severity=max(detection.severity, case.detection.severity),
        )
        label = detection.severity.label
        risen = label not in case.fired and detection.severity >= case.detection.severity
        if risen:
            case.fired[label] = detection.step
        return case if risen or reopened else None

    def _new_id(self, detection: Detection) -> str:
        base = f"{detection.code}@{detection.step}"
        taken = {case.id for case in self.all}
        if base not in taken:
            return base
        named = f"{base}:{detection.series if detection.series != 'loss' else detection.name}"
        return named if named not in taken else f"{named}:{len(taken)}"
