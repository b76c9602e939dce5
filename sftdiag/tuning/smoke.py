"""SmokeTest: go or no-go after the first steps, with the diagnosis."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag import texts
from sftdiag.errors import UnhealthyRunError
from sftdiag.findings import Finding, Report, Severity
from sftdiag.signals.noise import cautious_noise, median
from sftdiag.values import Value

STEPS = 100
"""The guide's smoke test."""

WARMUP = 20
"""Steps of warm-up in a smoke test: the peak rate has to be reached to be judged."""

FEWEST_LOSSES = 8
"""Below this the noise of the losses cannot be told from their fall."""

CLEAR = 3.0
"""Noise units of one loss that the median of the last fifth must lie below that of the first
records: a median of ten is some three times quieter than one loss, so chance does not reach it."""

GO, NO_GO, UNCLEAR = "go", "no-go", "unclear"


class Gradients(Value):
    """Trainable tensors, and how many of them a gradient reached at one step."""

    reached: int
    tensors: int


class SmokeTest(Value):
    """The outcome of a smoke test.

    Attributes:
        verdict: ``"go"``, ``"no-go"``, or ``"unclear"``: nothing was found, but the loss did not
            clearly fall either.
        reason: one line.
        report: the diagnosis: what was found before the first step and in the loss.
        failure: the error that ended the training, or None.
        gradients: how many tensors a gradient reached, or None when that cannot be seen.
    """

    verdict: str
    reason: str
    report: Report
    failure: str | None = None
    gradients: Gradients | None = None

    @property
    def go(self) -> bool:
        """Whether nothing speaks against the real run."""
        return self.verdict == GO

    def raise_for_no_go(self) -> None:
        """Keep the real run from starting.

        Raises:
            UnhealthyRunError: the verdict is ``"no-go"``.
        """
        if self.verdict == NO_GO:
            raise UnhealthyRunError(str(self))

    @property
    def line(self) -> str:
        """The verdict and its reason."""
        words = texts.load(__file__, "smoke", self.report.language)
        return f"{words['smoke_test']}{words[self.verdict]}{words['colon']}{self.reason}"

    def __str__(self) -> str:
        if not self.report.findings:
            return self.line
        from sftdiag.report.text import render

        return f"{self.line}\n\n{render(self.report)}"


def judge(
    report: Report,
    losses: Sequence[float],
    *,
    gradients: Gradients | None = None,
    failure: str | None = None,
) -> SmokeTest:
    """Return the verdict on the first steps of a run.

    Args:
        report: what the checks and detectors say.
        losses: the logged training losses, in order.
        gradients: how many tensors a gradient reached.
        failure: the error that ended the training.

    Examples:
        >>> from sftdiag.findings import Summary
        >>> healthy = Report("smoke test", "healthy", Summary())
        >>> [judge(healthy, [3 - 0.02 * n * fall for n in range(100)]).verdict for fall in (1, 0)]
        ['go', 'unclear']
    """
    words = texts.load(__file__, "smoke", report.language)
    found = report.at_least(Severity.ERROR)
    warned = report.at_least(Severity.WARNING)
    partly = gradients is not None and 0 < gradients.reached < gradients.tensors
    values = {"reached": gradients.reached, "tensors": gradients.tensors} if gradients else {}
    if failure is not None:
        verdict, reason = NO_GO, words["failed"].format(failure=failure)
    elif found:
        verdict, reason = NO_GO, words["found"].format(found=_named(found, words))
    elif gradients is not None and gradients.reached == 0:
        verdict, reason = NO_GO, words["no_gradient"].format(**values)
    elif len(losses) < FEWEST_LOSSES:
        verdict, reason = UNCLEAR, words["few"].format(points=len(losses), needed=FEWEST_LOSSES)
    else:
        verdict, reason = _by_fall(losses, words)
    if warned and not found:
        told = words["warned"].format(found=_named(warned, words))
        reason = f"{reason}{words['semicolon']}{told}"
    if partly:
        reason = f"{reason}{words['semicolon']}{words['some_gradients'].format(**values)}"
    return SmokeTest(verdict, reason, report, failure, gradients)


def _named(found: Sequence[Finding], words: texts.Texts) -> str:
    shown: str = words["comma"].join(dict.fromkeys(f"{f.code} {f.name}" for f in found))
    return shown


def _by_fall(losses: Sequence[float], words: texts.Texts) -> tuple[str, str]:
    """Return the verdict of a loss in which nothing was found: the guide's clear fall, or not."""
    size = max(4, len(losses) // 5)
    first, last = median(losses[: max(4, size // 2)]), median(losses[-size:])
    noise = cautious_noise(losses)
    values = {"first": first, "last": last, "noise": noise, "points": len(losses)}
    if first - last > CLEAR * noise:
        return GO, words["fell"].format(**values)
    return UNCLEAR, words["flat"].format(**values)
