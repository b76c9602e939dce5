from __future__ import annotations

from sftdiag.checked import Checked
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.monitor import Monitor
from sftdiag.observations import Observation, Outcome
from sftdiag.sources.journal import Segment


def outcome(step: int = 0) -> Outcome:
    seen = Observation(
        "SFT401",
        "no-supervised-token",
        Severity.ERROR,
        "label-mask",
        evidence={"seen": 8},
        step=step,
    )
    return Outcome((seen,), ("no-supervised-token",))


def test_what_an_earlier_process_found_is_not_found_again() -> None:
    checked = Checked(Settings())
    (found,) = checked.take(outcome())
    assert found.id == "SFT401@0"
    assert checked.take(outcome(step=150)) == ()
    assert [finding.id for finding in checked.findings()] == ["SFT401@0"]


def test_other_settings_end_it_and_what_is_still_so_is_found_anew() -> None:
    monitor = Monitor()
    monitor.take_checks(outcome())
    monitor.resume(Segment(150, RunContext(), {"train_samples": (8, 9)}))
    (over,) = monitor.report().findings
    assert (over.resolved_step, monitor.report().verdict) == (150, "inconclusive")
    assert "train_samples 8 -> 9" in (over.resolved_because or "")
    (again,) = monitor.take_checks(outcome(step=150))
    assert again.id == "SFT401@150"
    assert monitor.report().verdict == "error"
    assert monitor.take_checks(outcome(step=150)) == ()
