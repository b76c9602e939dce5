"""SFT302 forgetting: text that has nothing to do with the task gets harder for the model.

Sees the loss on a few paragraphs of general text (shipped, or given), and on prompts that the user
gave, against the same model before training, paragraph by paragraph.

Cannot see what the paragraphs do not ask for, nor judge without the losses before training: the
adapter switched off shows them at any time, otherwise they are measured before the first step.

>>> from sftdiag.monitor import Monitor
>>> monitor = Monitor()
>>> for step, rise in ((10, 0.1), (20, 0.6), (30, 0.9)):
...     measures = {"texts": 16, "loss": 2.5 + rise, "before": 2.5, "rise": rise}
...     row = {f"probe/forgetting/{name}": value for name, value in measures.items()}
...     for finding in monitor.feed_entry({"step": step, **row}):
...         print(step, finding.code, finding.severity.label, finding.onset_step)
20 SFT302 warning 20

References:
    Luo et al. (2023, arXiv 2308.08747): forgetting in continual fine-tuning of language models;
    Biderman et al. (2024, arXiv 2405.09673): full fine-tuning forgets more than LoRA;
    the guide's row 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import ClassVar

from sftdiag.findings import Scalar
from sftdiag.observations import Skip
from sftdiag.probes.answers import Losses
from sftdiag.probes.base import Probe, Seen
from sftdiag.probes.measures import Estimate, beyond, estimate, factor_of, mean_of, named

NEVER_KNOWN = 0.6
"""Share of the loss of a blind guess above which a text was no text to the model before: there is
nothing to forget. Prose in a language a model knows has a quarter to a third of it."""

FORGOTTEN = log(1.5)
"""Nats a token: perplexity on general text half as large again. A chat format, and answers shorter
than prose, cost a sound fine-tune a tenth to a quarter (docs/probes.md, the healthy run)."""

LOST = 1000
"""Factor of the perplexity from which a bound says it all: each token of the texts is a thousand
times less likely than before, and the digits depend on which texts were asked."""

LEAST_TEXTS = 4
"""Texts below which the noise over texts is not known."""

SERIES = {"general": "", "given": "given_"}
"""What the losses are of, and how its measures begin."""

NO_CHANGE = Estimate(0.0, 0.0)


class ForgettingProbe(Probe):
    """Fires when two probes in a row show it; resolves when two in a row do not."""

    code: ClassVar[str] = "SFT302"
    name: ClassVar[str] = "forgetting"
    asks: ClassVar[tuple[str, ...]] = ("losses",)

    @staticmethod
    def measures(general: Losses, given: Losses, chance: float) -> dict[str, float]:
        """Return the measures of a round of losses; without those from before only their mean.

        Args:
            general: on general text.
            given: on the prompts that the user gave.
            chance: loss of a blind guess, ln V.
        """
        measured: dict[str, float] = {}
        for losses, start in ((general, SERIES["general"]), (given, SERIES["given"])):
            if not losses.now:
                continue
            losses = _known_before(losses, chance)
            measured[f"{start}texts"] = float(len(losses.now))
            if losses.now:
                measured[f"{start}loss"] = mean_of(losses.now).value
            if losses.now and losses.before is not None:
                rises = [now - then for now, then in zip(losses.now, losses.before, strict=True)]
                measured[f"{start}before"] = mean_of(losses.before).value
                measured |= named(f"{start}rise", mean_of(rises))
        return measured

    def judge(self, measures: Mapping[str, float], progress: float) -> Seen | Skip | None:
        """See :meth:`Probe.judge`."""
        reason: Skip | None = Skip("no_baseline")
        for series, start in SERIES.items():
            rise, texts = estimate(measures, f"{start}rise"), measures.get(f"{start}texts")
            if texts is not None and texts < LEAST_TEXTS:
                reason = reason and Skip("few_texts", {"texts": int(texts), "needed": LEAST_TEXTS})
                continue
            loss, before = measures.get(f"{start}loss"), measures.get(f"{start}before")
            if rise is None or texts is None or loss is None or before is None:
                continue
            if beyond(rise, NO_CHANGE, FORGOTTEN):
                factor = factor_of(rise.value)
                evidence: dict[str, Scalar] = {
                    "texts": int(texts),
                    "loss": loss,
                    "before": before,
                    "rise": rise.value,
                    "factor": factor,
                }
                variant = "default" if series == "general" else "given"
                if round(factor) >= LOST:
                    variant += "_lost"
                    evidence["factor_least"] = LOST
                return Seen(variant, evidence)
            reason = None
        return reason

    def note(self, measures: Mapping[str, float]) -> None:
        """See :meth:`Probe.note`: the rise is measured already."""


def _known_before(losses: Losses, chance: float) -> Losses:
    """Return the losses of the texts that the model knew something of."""
    if losses.before is None:
        return losses
    pairs = zip(losses.now, losses.before, strict=True)
    known = [(now, then) for now, then in pairs if then < NEVER_KNOWN * chance]
    return Losses(tuple(now for now, _ in known), tuple(then for _, then in known))
