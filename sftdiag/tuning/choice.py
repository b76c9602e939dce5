"""Choice: a set-up with what was decided for it, and the sentences that say why."""

from __future__ import annotations

from typing import Any

from sftdiag import ranges, texts
from sftdiag.ranges import Range
from sftdiag.tuning.numbers import show
from sftdiag.tuning.recommendation import SFT_CONFIG, Setting
from sftdiag.tuning.setup import Setup, steps

LABELS = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}


class Choice:
    """What the settings and the advice have in common.

    Args:
        setup: the run.
        lang: language of the reasons.
    """

    def __init__(self, setup: Setup, lang: str) -> None:
        self.setup = setup
        self.words = texts.load(__file__, "recommend", lang)
        self.method = setup.chosen_method()
        self.preset = setup.preset
        self.rows, self.accumulation = setup.batch(self.method)
        self.batch = self.rows * self.accumulation * setup.gpus
        self.epochs = next(b for b in reversed(ranges.EPOCHS) if setup.samples >= b.from_samples)
        self.steps = steps(setup.samples, self.epochs.usual, self.batch)
        self.warmup = round(self.steps * ranges.WARMUP_SHARE)

    def say(self, part: str, key: str, **values: Any) -> str:
        """Return a sentence of the texts with its numbers."""
        return texts.counted(self.words[part][key].format(**values))

    def setting(
        self,
        name: str,
        value: Any,
        source: str = ranges.TEMPLATE,
        *,
        reason: str | None = None,
        config: str = SFT_CONFIG,
        beside: tuple[Range, ...] = (),
        **values: Any,
    ) -> Setting:
        """Return a setting whose reason is the sentence of its name, or of ``reason``."""
        others = tuple(show(span) for span in beside if span.source != source)
        why = self.say("reasons", reason or name, **values)
        return Setting(config, name, value, why, source, others)
