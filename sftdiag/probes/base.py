"""Probe: judges what was measured on the model itself, evaluation by evaluation.

The measuring is done in :mod:`sftdiag.probing`; its numbers come as records of kind
``"probe"``, live and offline alike. Their names are ``probe/<probe's name>/<measure>``; a row with
``probe/before`` was measured on the model before training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import ClassVar

from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.observations import Skip
from sftdiag.records import PROBE_PREFIX, LogRecord
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

BEFORE = f"{PROBE_PREFIX}before"
"""In a row that was measured on the model before training."""

SKIPPED = "skipped/"
"""Begins the measure that says why there is none: ``probe/<name>/skipped/<reason>``."""

REASONS = frozenset(
    {
        *("no_prompts", "over_budget", "not_finite", "probe_failed"),
        *("sharded", "encoder_decoder", "vision", "no_language_model", "lacks_embeddings"),
    }
)
"""The reasons that are written; a row with another one is of another writer and says nothing."""

IN_A_ROW = 2
"""Probes in a row that must agree: a model in motion may loop at one evaluation and not at the
next. The last one of the plan, and one without a plan, stands alone: there is no next."""

LATE = 0.5
"""Share of the planned steps from which what a sound model learns late counts: how replies end, and
where the model before training was not measured, how they differ from the reference answers. A base
model goes round in circles and speaks for the user until it has learned not to."""

LEAST_PROMPTS = 6
"""Prompts below which a share over prompts says nothing: its noise is a fifth and more."""


class Seen(Value):
    """What a probe sees at one evaluation: which of its sentences tells it, and the numbers.

    ``unmeasured``: nothing sound was measured before, so that it counts from :data:`LATE` on.
    """

    variant: str
    evidence: Mapping[str, Scalar]
    unmeasured: bool = False


class Probe(ABC):
    """Base class of all probes: pure state machines over the measures of one symptom.

    Attributes:
        code: stable code of the finding.
        name: the symptom's name.
        severity: the severity it fires at.
        asks: what it needs of the model: ``"replies"``, ``"samples"``, ``"losses"``.
        always: the measures that no row of its own lacks.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity] = Severity.WARNING
    asks: ClassVar[tuple[str, ...]]
    always: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._since: int | None = None
        self._sick = 0
        self._clean = 0
        self._judged = False
        self._reason: Skip | None = None
        self._active: Detection | None = None

    @abstractmethod
    def judge(self, measures: Mapping[str, float], progress: float) -> Seen | Skip | None:
        """Return what is wrong at this evaluation, why it cannot be judged, or None.

        Args:
            measures: name to value, as the probe's own ``measures`` returned them.
            progress: share of the planned steps done; 1 for a finished model.
        """

    @abstractmethod
    def note(self, measures: Mapping[str, float]) -> None:
        """Keep what later measures are compared with, as of a model before training or a sound one.

        Called after :meth:`judge`, unless that saw something: what is sick is no measure.
        """

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Look at a record of kind ``"probe"``; see :meth:`Detector.update`."""
        measures = self._own(record)
        if not measures:
            return ()
        reason = next((key for key in measures if key.startswith(SKIPPED)), None)
        if reason is not None:
            key = reason.removeprefix(SKIPPED)
            if key in REASONS:
                self._reason = Skip(key, {"number": measures[reason]})
            return ()
        if any(name not in measures for name in self.always):
            return ()
        if BEFORE in record.metrics:
            self._reason = Skip("no_probe_yet")
            self.note(measures)
            return ()
        planned = signals.max_steps
        progress = min(1.0, record.step / planned) if planned else 1.0
        verdict = self.judge(measures, progress)
        if not isinstance(verdict, Seen):
            self.note(measures)
        elif verdict.unmeasured and progress < LATE:
            verdict = Skip("early", {"share": LATE})
        if isinstance(verdict, Skip):
            self._reason = verdict
            return ()
        self._judged = True
        return self._live(verdict, record.step, IN_A_ROW if progress < 1.0 else 1)

    def skip(self, signals: Signals) -> Skip | None:
        """Return why no judgement was possible so far, or None when there was one."""
        if self._judged:
            return None
        return self._reason or Skip("needs_model")

    def _own(self, record: LogRecord) -> dict[str, float]:
        """Return the row's measures of this probe; what is not finite is none."""
        own = f"{PROBE_PREFIX}{self.name}/"
        return {
            name.removeprefix(own): value
            for name, value in record.metrics.items()
            if name.startswith(own) and isfinite(value)
        }

    def _live(self, seen: Seen | None, step: int, needed: int) -> Sequence[Detection]:
        if seen is None:
            self._since, self._sick = None, 0
            self._clean += 1
            active = self._active
            if active is None or self._clean < needed:
                return ()
            self._active = None
            return (active.replace(step=step, resolved=True),)
        self._clean = 0
        self._sick += 1
        self._since = step if self._since is None else self._since
        if self._active is None and self._sick < needed:
            return ()
        self._active = Detection(
            self.code,
            self.name,
            self.severity,
            step,
            self._active.onset_step if self._active else self._since,
            self.name,
            seen.evidence,
            variant=seen.variant,
        )
        return (self._active,)
