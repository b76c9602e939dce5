"""SFT301 repetitive-output: the replies loop, or all say the same.

Sees the share of repeated 4-grams in the greedy continuations of a few prompts, and how many of
their bigrams differ over all prompts. Both are held against the reference answers of the same
prompts and against the best that was measured in this run, the model before training included.
Where that was not measured, as for a callback that sees no rows before the first evaluation, they
are held against the reference answers alone, from half of the planned steps on.

Cannot judge replies to prompts without a reference when nothing was measured before, nor see
repetition that takes longer than the tokens a reply may have.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step, greedy in ((0, 0.1), (10, 0.05), (20, 0.6), (30, 0.7)):
...     measures = {"prompts": 16, "greedy": greedy, "greedy_error": 0.05, "reference": 0.01}
...     row = {f"probe/repetitive-output/{name}": value for name, value in measures.items()}
...     before = {} if step else {"probe/before": 1}
...     for finding in monitor.feed_entry({"step": step, **row, **before}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
20 SFT301 warning 20

References:
    Welleck et al. (2020, arXiv 1908.04319): seq-rep-4, and greedy text that loops;
    Li et al. (2016, arXiv 1510.03055): distinct-n;
    the guide's row 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from sftdiag.observations import Skip
from sftdiag.probes.answers import Reply
from sftdiag.probes.base import LEAST_PROMPTS, Probe, Seen
from sftdiag.probes.measures import (
    Estimate,
    beyond,
    distinct_share,
    estimate,
    jackknife,
    mean_of,
    named,
    repeated_share,
)

REPEATED = 0.2
"""Share of repeated 4-grams beyond the references' from which text loops. A sound model's replies
repeat about as much as the reference answers that it learned, give or take the noise over prompts,
which :func:`beyond` asks for three times: 0.00 to 0.01 in docs/probes.md and in tiny runs. Those of
a model that loops repeat by 0.69 to 0.76 there, and Welleck et al. print 0.44 for greedy and 0.016
for nucleus sampling of the same model."""

UNIFORM = 0.5
"""Share of the references' distinct bigrams below which the replies are one reply: two prompts in
three answered alike bring it there, while a model's plainer wording costs a tenth to a quarter."""

LEAST_TOKENS = 8
"""Mean tokens of a reply below which its bigrams are too few to differ or not."""


class RepetitiveOutputProbe(Probe):
    """Fires when two probes in a row show it; resolves when two in a row do not."""

    code: ClassVar[str] = "SFT301"
    name: ClassVar[str] = "repetitive-output"
    asks: ClassVar[tuple[str, ...]] = ("replies", "samples")
    always: ClassVar[tuple[str, ...]] = ("prompts", "greedy")

    def __init__(self) -> None:
        super().__init__()
        self._fewest_repeats: Estimate | None = None
        self._most_distinct: Estimate | None = None

    @staticmethod
    def measures(replies: Sequence[Reply]) -> dict[str, float]:
        """Return the measures of a round of replies; references are cut to the replies' limit."""
        measured = {"prompts": float(len(replies))}
        measured |= named("greedy", mean_of([repeated_share(r.greedy) for r in replies]))
        sampled = [repeated_share(r.sampled) for r in replies if r.sampled is not None]
        if sampled:
            measured |= named("sampled", mean_of(sampled))
        pairs = [(r.greedy, r.reference) for r in replies if r.reference]
        if pairs:
            measured |= named("reference", mean_of([repeated_share(ref) for _, ref in pairs]))
            # Longer texts repeat more: both are cut to the same length.
            ours = [greedy[: len(reference)] for greedy, reference in pairs]
            theirs = [reference[: len(greedy)] for greedy, reference in pairs]
            if sum(map(len, ours)) >= LEAST_TOKENS * len(pairs):
                measured |= named("distinct", jackknife(ours, distinct_share))
                measured |= named("reference_distinct", jackknife(theirs, distinct_share))
        return measured

    def judge(self, measures: Mapping[str, float], progress: float) -> Seen | Skip | None:
        """See :meth:`Probe.judge`."""
        prompts = measures["prompts"]
        greedy = Estimate(measures["greedy"], measures.get("greedy_error", 0.0))
        if prompts < LEAST_PROMPTS:
            return Skip("few_prompts", {"prompts": int(prompts), "needed": LEAST_PROMPTS})
        reference, best = estimate(measures, "reference"), self._fewest_repeats
        if reference is None and best is None:
            return Skip("nothing_to_compare")
        evidence = {
            **{name: measures.get(name) for name in ("greedy", "sampled", "reference")},
            **{name: measures.get(name) for name in ("distinct", "reference_distinct")},
            "prompts": int(prompts),
            "best": best.value if best else None,
        }
        if all(beyond(greedy, other, REPEATED) for other in (reference, best) if other):
            if best is None:
                return Seen("no_best", evidence, unmeasured=True)
            return Seen("no_reference" if reference is None else "default", evidence)
        if self._uniform(measures):
            return Seen("uniform", evidence, unmeasured=self._most_distinct is None)
        return None

    def _uniform(self, measures: Mapping[str, float]) -> bool:
        distinct = estimate(measures, "distinct")
        reference = estimate(measures, "reference_distinct")
        if distinct is None or reference is None:
            return False
        others = (reference, self._most_distinct or reference)
        return all(beyond(other, distinct, UNIFORM * other.value) for other in others)

    def note(self, measures: Mapping[str, float]) -> None:
        """See :meth:`Probe.note`."""
        greedy, distinct = estimate(measures, "greedy"), estimate(measures, "distinct")
        fewest, most = self._fewest_repeats, self._most_distinct
        if greedy and (fewest is None or greedy.value < fewest.value):
            self._fewest_repeats = greedy
        if distinct and (most is None or distinct.value > most.value):
            self._most_distinct = distinct
