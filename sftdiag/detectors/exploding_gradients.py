"""SFT117 exploding-gradients: the gradient norm leaves its level for good, the loss falls no more.

A norm that stands ten times above the run's own for many rows while the loss stays where it is: to
first order so steep a slope would have taken the loss down at once, so the steps jump across a
valley that is far narrower than they are. What follows is a loss that blows up, in the public runs
that show it some ten to a hundred rows later; until then clipping hides it, which leaves of every
gradient its direction only. A single wild row says nothing: every row of the window must be high,
which norms that swing by orders of magnitude, as with one row a batch, never are.

The level is the median of the blocks before: no first steps, warm-up, spikes or zeros move it. A
norm that grows with the loss, or while the loss falls, is what other findings are about, or is no
harm: it grows by a factor of two to five in many healthy runs, of adapters whose B begins at 0 and
of pretraining alike.

Cannot see: gradients that are large from the first rows on, as those of summed losses are; a growth
within fewer rows than the window; a norm that is no gradient's, such as one with a loss scale in it
(the guide says so).

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step in range(1, 61):
...     norm = 0.2 if step <= 40 else 0.2 * 1.6 ** (step - 40)
...     row = {"step": step, "loss": 1.0 + 1.0 / step, "grad_norm": norm}
...     for finding in monitor.feed_entry(row):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
52 SFT117 warning 44

References:
    Wortsman et al. 2023, arXiv 2309.14322, and Molybog et al. 2023, arXiv 2304.09871: gradients
    that grow come before the loss blows up.
    Cohen et al. 2022, arXiv 2207.14484: with Adam, too, the slope steepens until the rate is too
    large for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import exp, inf, log

from sftdiag.detectors.base import Detector, Skip, unusable_train_loss
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.hints import ClassVar
from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.noise import cautious_noise, median
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

WINDOW = 8
"""Rows that all must be high. Of 845 stored runs the second highest lowest-of-eight over the level
before is 2.7; with four rows a healthy one whose norms swing from 0.1 to 700 reaches 465."""

GROWN = 10.0
"""Times the level: four times what any of the 845 stored runs but the one that explodes reaches
(2.7; healthy ones 2.4), which has 523."""

NOISE = 2.0
"""Standard deviations of the log norm, from block to block, that are asked for where they are more
than that: eight rows of normal noise all lie two above their middle once in 10^13 times."""

LEAST = 1.0
"""The norm that transformers and TRL clip to unless told otherwise: one below it is not large."""

BEFORE = 8
"""Blocks before the window, at the least: as many as are in it, to have a level of its own."""

FALLS = 0.02
"""Share by which the loss of the window lies below that of the blocks before it in a run that still
learns: labelled runs that must stay silent fall by 1.8 % between their thirds, at the least."""

MOST = 100.0
"""Of the noise of a logarithm: e^100 is more than any float32."""

BACK = 0.5
"""Share of the bar under which the norm has come back."""


class ExplodingGradientsDetector(Detector):
    """Fires when all rows of a window are high; resolves when their median is back."""

    code: ClassVar[str] = "SFT117"
    name: ClassVar[str] = "exploding-gradients"
    severity: ClassVar[Severity] = Severity.WARNING

    def __init__(self) -> None:
        self._lowest, self._may_be = inf, inf
        self._high: deque[tuple[int, float, float]] = deque(maxlen=WINDOW)
        self._bar = 0.0
        self._told = 0.0

    def update(self, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """See :meth:`Detector.update`."""
        norm = record.metrics.get("grad_norm")
        if norm is None or (self._lowest <= norm < self._may_be and not self._high):
            return ()
        if not 0.0 < norm < inf or signals.row_lost or record.kind != TRAIN:
            return ()
        self._see(record.step, norm, record.metrics["loss"])
        if self._active is not None:
            return self._follow(record.step)
        if len(self._high) < WINDOW or signals.objective is not None:
            return ()
        return self._look(signals, record.step)

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """See :meth:`Detector.passes`."""
        norms = rows.get("grad_norm")
        if norms is None:
            return True
        if self._active is not None:
            return False
        high = _may_be_high(min(self._lowest, *norms))
        if max(norms) < high:
            return True
        # What is low by the last row's bar, which is the lowest, is low by every row's own.
        longest = count = len(self._high)
        for norm in norms:
            count = count + 1 if norm >= high else 0
            longest = max(longest, count)
        return longest < WINDOW

    def take(self, signals: Signals, rows: Rows) -> None:
        """See :meth:`Detector.take`."""
        norms = rows.get("grad_norm")
        if norms is None:
            return
        lowest = min(self._lowest, *norms)
        if max(norms) < _may_be_high(lowest):
            self._lowest, self._may_be = lowest, _may_be_high(lowest)
            self._high.clear()
            return
        for step, norm, loss in zip(rows.steps, norms, rows.losses, strict=True):
            self._see(step, norm, loss)

    def _see(self, step: int, norm: float, loss: float) -> None:
        """Keep a row that may be high: the level is no lower than the lowest norm so far."""
        if norm < self._lowest:
            self._lowest, self._may_be = norm, _may_be_high(norm)
        if self._active is not None or norm >= self._may_be:
            self._high.append((step, norm, loss))
        elif self._high:
            self._high.clear()

    def _look(self, signals: Signals, step: int) -> Sequence[Detection]:
        """Hold the window against the blocks before it."""
        first = self._high[0][0]
        norms, losses = [norm for _, norm, _ in self._high], [loss for _, _, loss in self._high]
        blocks = [
            (block.last_step, block.grad_norm, block.loss)
            for block in signals.blocks
            if block.last_step < first and block.grad_norm
        ]
        if len(blocks) < BEFORE:
            return ()
        level, before = median([norm for _, norm, _ in blocks]), [loss for _, _, loss in blocks]
        usual, recent = median(before), median(losses)
        with_loss = recent / usual if recent > usual > 0.0 else 1.0
        if min(norms) < GROWN * level * with_loss:
            return ()
        noise = cautious_noise([log(norm) for _, norm, _ in blocks])
        if min(norms) < exp(min(NOISE * noise, MOST)) * level:
            return ()
        just_before = median(before[-BEFORE:])
        if recent < (1.0 - FALLS) * just_before:
            return ()
        self._bar, self._told = GROWN * level, min(norms)
        calm = [last for last, norm, _ in blocks if norm < self._bar]
        clip = signals.context.max_grad_norm
        clipped = clip is not None and 0.0 < clip < self._told
        numbers: dict[str, Scalar] = {
            "grad_norm_before": level,
            "grad_norm_recent": median(norms),
            "times": median(norms) / level,
            "loss_before": just_before,
            "loss_recent": recent,
            "records": WINDOW,
            "learning_rate": signals.learning_rate,
        }
        self._active = Detection(
            self.code,
            self.name,
            Severity.WARNING,
            step,
            calm[-1],
            "grad_norm",
            {**numbers, "max_grad_norm": clip} if clipped else numbers,
            variant="clipped" if clipped else "default",
        )
        return (self._active,)

    def _follow(self, step: int) -> Sequence[Detection]:
        """Resolve when the norm is back; tell anew when it has grown as much again."""
        seen, norms = self._active, [norm for _, norm, _ in self._high]
        if median(norms) < BACK * self._bar:
            self._high.clear()
            return self._end(step)
        if seen is None or min(norms) < GROWN * self._told:
            return ()
        self._told, now = min(norms), median(norms)
        level = self._bar / GROWN
        numbers = {**seen.evidence, "grad_norm_recent": now, "times": now / level}
        self._active = seen.replace(step=step, evidence=numbers)
        return (self._active,)

    def skip(self, signals: Signals) -> Skip | None:
        """See :meth:`Detector.skip`."""
        unusable = unusable_train_loss(signals)
        if unusable is not None or self._lowest < inf:
            return unusable
        return Skip("no_grad_norm")


def _may_be_high(lowest: float) -> float:
    """Return the norm from which a row may be high, going by the lowest so far."""
    return max(LEAST, GROWN * lowest)
