"""SFT115 throughput-fall: tokens per second have fallen, and do not come back.

Sees, where each step is seen (``attach``), the tokens of a step over its seconds, as medians over
windows of steps: five windows in a row below seven tenths of the median of all before them, and
below nearly all of these, while the rows are as long as before. It is over when the speed is back.

Cannot see a run that was slow from the start, nor what is slow between steps: evaluations, saves.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 401):
...     row = {"step": step, "loss": 2.0 - step * 1e-3, "step_tokens": 4096}
...     row["step_seconds"] = 1.0 + 0.01 * (step % 7) if step <= 200 else 1.8
...     for finding in monitor.feed_entry(row):
...         if finding.code == "SFT115":
...             print(step, finding.code, finding.severity.label, finding.onset_step)
300 SFT115 warning 201

References:
    threads on GPUs that throttle, data loaders that fall behind and memory that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import truediv

from sftdiag.detectors.base import Detector, Skip, too_few
from sftdiag.findings import Detection, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.noise import median
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

WINDOW = 20
"""Steps in a window: their median is not reached by a save, a log row or a slow batch."""

SLOW_WINDOWS = 5
"""Windows in a row: two periods of transformers' length grouping, of 50 steps at most."""

BEFORE = 5
"""Windows before them, at the least, and the first of all is left out: it compiles and warms up."""

SLOW = 0.7
"""Share of the usual speed below which it is slow: rows of other lengths move it by a tenth, and a
throttled card loses a third and more."""

BACK = 0.9
"""Share of it from which it is back, in as many windows as make it slow."""

QUANTILE = 0.1
"""Of the windows before: a run that was this slow in one of ten has not fallen."""

SAME_ROWS = 0.2
"""Share by which the tokens of a step may differ from before: other rows have another speed."""

MOST_WINDOWS = 256
"""Windows kept; of more every second is dropped, the last ones kept."""


class Window(Value):
    """Some steps: the first, the median of their tokens per second, and of a step's tokens."""

    first_step: int
    speed: float
    tokens: float


class ThroughputFallDetector(Detector):
    """Fires at the fifth slow window; resolves when the speed is back."""

    code: ClassVar[str] = "SFT115"
    name: ClassVar[str] = "throughput-fall"
    severity: ClassVar[Severity] = Severity.WARNING
    seldom: ClassVar[bool] = True

    def __init__(self) -> None:
        self._windows: list[Window] = []
        self._steps: list[tuple[int, float, float]] = []
        self._usual = 0.0
        self._then: tuple[list[Window], list[tuple[int, float, float]]] | None = None

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        if record.kind != TRAIN or "step_seconds" not in record.metrics:
            return ()
        seconds, tokens = record.finite("step_seconds"), record.finite("step_tokens")
        if not seconds or not tokens:
            return ()
        self._steps.append((record.step, tokens / seconds, tokens))
        if len(self._steps) < WINDOW:
            return ()
        self._windows, self._steps = _with(self._windows, self._steps), []
        return self._look(record)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`: rows of steps, too, where no window says anything."""
        self._then = None
        seconds, tokens = rows.get("step_seconds"), rows.get("step_tokens")
        if seconds is None or tokens is None:
            return True
        windows, steps = self._windows, list(self._steps)
        for step in zip(rows.steps, map(truediv, tokens, seconds), tokens, strict=True):
            steps.append(step)
            if len(steps) == WINDOW:
                windows, steps = _with(windows, steps), []
                active = self._active is not None
                if self._is_back(windows) if active else _fallen(windows) is not None:
                    return False
        self._then = windows, steps
        return True

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        if self._then is not None:
            self._windows, self._steps = self._then

    def _look(self, record: LogRecord) -> Sequence[Detection]:
        last = self._windows[-SLOW_WINDOWS:]
        if self._active is not None:
            return self._end(record.step) if self._is_back(self._windows) else ()
        fallen = _fallen(self._windows)
        if fallen is None:
            return ()
        usual, tokens = fallen
        self._usual = usual
        now = median([window.speed for window in last])
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING,
            record.step,
            last[0].first_step,
            "tokens_per_second",
            {
                "usual": usual,
                "now": now,
                "share": now / usual,
                "steps": SLOW_WINDOWS * WINDOW,
                "tokens": tokens,
            },
        )
        return (self._active,)

    def _is_back(self, windows: Sequence[Window]) -> bool:
        return min([window.speed for window in windows[-SLOW_WINDOWS:]]) > BACK * self._usual

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        return too_few(len(self._windows), BEFORE + SLOW_WINDOWS + 1)


def _with(windows: list[Window], steps: Sequence[tuple[int, float, float]]) -> list[Window]:
    """Return the windows with one more; the old ones are thinned out."""
    speed, size = (median([step[i] for step in steps]) for i in (1, 2))
    longer = [*windows, Window(steps[0][0], speed, size)]
    if len(longer) > MOST_WINDOWS:
        del longer[1 : -4 * SLOW_WINDOWS : 2]
    return longer


def _fallen(windows: Sequence[Window]) -> tuple[float, float] | None:
    """Return the usual speed and a step's tokens where the last windows are slow for good."""
    last, before = windows[-SLOW_WINDOWS:], windows[1:-SLOW_WINDOWS]
    if len(before) < BEFORE:
        return None
    highest = max([window.speed for window in last])
    speeds = sorted([window.speed for window in before])
    if highest > speeds[int(QUANTILE * len(speeds))]:
        return None
    usual = median(speeds)
    tokens, usually = (median([w.tokens for w in part]) for part in (last, before))
    if highest > SLOW * usual or abs(tokens - usually) > SAME_ROWS * usually:
        return None
    return usual, tokens
