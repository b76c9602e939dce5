"""SFT303 unnatural-replies: replies that do not end, speak for the user, or have an odd length.

Sees, for prompts whose reference answers fit into the tokens a reply may have: how many greedy
replies end with an end token, what probability the model gives the end tokens where the reference
is over, how many open a turn of the user or hold a special token that no reference holds, and the
replies' length against the references'.

Cannot judge style beyond that, nor ends without reference answers, nor lengths where these are
longer than the limit. Ends and lengths are judged from half of the planned steps on: before, a
sound model may not have learned them yet; so are marks where the model before training was not
measured.

>>> from sftdiag.monitor import Monitor
>>> from sftdiag.context import RunContext
>>> monitor = Monitor(RunContext(max_steps=40))
>>> measures = {"prompts": 16, "ended": 0.0, "ended_error": 0.0, "end_probability": 1e-4,
...             "references": 16, "reference_ends": 0.0, "marked": 0.0, "marked_error": 0.0}
>>> row = {f"probe/unnatural-replies/{name}": value for name, value in measures.items()}
>>> for step in (10, 20, 30, 40):
...     for finding in monitor.feed_entry({"step": step, **row}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
30 SFT303 warning 20

References:
    trl issues 5988 and 7230, unsloth issue 416: an end of turn outside the loss, and replies that
    never stop although the loss looks healthy;
    the guide's row 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import ClassVar

from sftdiag.observations import Skip
from sftdiag.probes.answers import Reply
from sftdiag.probes.base import LATE, LEAST_PROMPTS, Probe, Seen
from sftdiag.probes.measures import Estimate, beyond, estimate, factor_of, mean_of, named

UNENDED = 0.5
"""Share of replies without an end, beyond the references' none."""

UNTRAINED_END = 0.1
"""Mean probability of an end token where the reference is over. Where the end of turn reaches the
loss it is the surest token of the answer and above 0.5 after a few dozen steps; above this a reply
that does not end loops or digresses, which is another fault."""

MARKED = 0.2
"""Share of replies with template tokens beyond that before training: one in five."""

ODD_LENGTH = log(3.0)
"""Replies three times as long or as short as the references: models differ by less than two."""


class UnnaturalRepliesProbe(Probe):
    """Fires when two probes in a row show it; resolves when two in a row do not."""

    code: ClassVar[str] = "SFT303"
    name: ClassVar[str] = "unnatural-replies"
    asks: ClassVar[tuple[str, ...]] = ("replies",)
    always: ClassVar[tuple[str, ...]] = ("prompts",)

    def __init__(self) -> None:
        super().__init__()
        self._least_marked: Estimate | None = None

    @staticmethod
    def measures(replies: Sequence[Reply]) -> dict[str, float]:
        """Return the measures of a round of replies."""
        measured = {"prompts": float(len(replies))}
        measured |= named("marked", mean_of([float(r.marked) for r in replies]))
        answered = [r for r in replies if r.reference]
        if answered:
            marked = mean_of([float(r.reference_marked) for r in answered])
            measured["reference_marked"] = marked.value
        known = [r for r in answered if r.reference_ends is not None]
        if known:
            ends = mean_of([float(bool(r.reference_ends)) for r in known])
            measured["reference_ends"] = ends.value
        probabilities = [r.end_probability for r in known if r.end_probability is not None]
        if probabilities:
            measured["end_probability"] = mean_of(probabilities).value
        fitting = [r for r in answered if r.fits]
        if len(fitting) >= LEAST_PROMPTS:
            measured |= named("ended", mean_of([float(r.ended) for r in fitting]))
        ratios = [
            log((len(r.greedy) + 1) / (len(r.reference or ()) + 1)) for r in fitting if r.ended
        ]
        if len(ratios) >= LEAST_PROMPTS:
            measured |= named("length", mean_of(ratios))
        return measured

    def judge(self, measures: Mapping[str, float], progress: float) -> Seen | Skip | None:
        """See :meth:`Probe.judge`."""
        prompts = measures["prompts"]
        if prompts < LEAST_PROMPTS:
            return Skip("few_prompts", {"prompts": int(prompts), "needed": LEAST_PROMPTS})
        names = ("ended", "end_probability", "reference_ends", "marked", "reference_marked")
        length = estimate(measures, "length")
        evidence = {
            **{name: measures.get(name) for name in names},
            "prompts": int(prompts),
            "marked_before": self._least_marked.value if self._least_marked else None,
            "length_factor": factor_of(length.value) if length else None,
        }
        late = progress >= LATE
        if late and self._does_not_end(measures):
            return Seen("does_not_end" if "ended" in measures else "end_not_given", evidence)
        marked = estimate(measures, "marked")
        if marked and beyond(marked, self._least_marked or Estimate(0.0, 0.0), MARKED):
            known = "reference_marked" in measures
            unmeasured = self._least_marked is None
            return Seen("marked" if known else "marked_no_reference", evidence, unmeasured)
        if late and length is not None and abs(length.value) >= ODD_LENGTH:
            size = Estimate(abs(length.value), length.error)
            if beyond(size, Estimate(0.0, 0.0), ODD_LENGTH):
                return Seen("too_long" if length.value > 0 else "too_short", evidence)
        return None

    def _does_not_end(self, measures: Mapping[str, float]) -> bool:
        ended, probability = estimate(measures, "ended"), measures.get("end_probability")
        if probability is None or probability >= UNTRAINED_END:
            return False
        return ended is None or beyond(Estimate(1.0, 0.0), ended, UNENDED)

    def note(self, measures: Mapping[str, float]) -> None:
        """See :meth:`Probe.note`."""
        marked, least = estimate(measures, "marked"), self._least_marked
        if marked and (least is None or marked.value < least.value):
            self._least_marked = marked
