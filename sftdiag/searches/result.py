"""SearchResult: what a search chose and every trial of it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sftdiag.searches.outcome import FAILED, PRUNED, Trial
from sftdiag.searches.settings import ACCUMULATION, ALPHA, NAMES, OWNERS, RANK, Facts
from sftdiag.searches.steps import Choice
from sftdiag.values import Value

SCHEMA_VERSION = 1
"""Of the JSON; raised when a key changes its meaning."""


class SearchResult(Value):
    """A search that is over.

    Attributes:
        start: the settings that it began with.
        settings: the settings that it chose; :attr:`sft_config` and :attr:`lora_config` are these.
        facts: what the first trainer said of the run.
        choices: a step each, in order.
        trials: every trial, in the order they ended.
        seeds: what two seeds of the same settings lay apart, where that was seen.
        language: of the texts.
        budget: seconds of GPU time that the search was given, or of time without a GPU; None for
            none.
    """

    start: dict[str, float]
    settings: dict[str, float]
    facts: Facts
    choices: tuple[Choice, ...]
    trials: tuple[Trial, ...]
    seeds: float | None = None
    language: str = "en"
    budget: float | None = None

    @property
    def sft_config(self) -> dict[str, float]:
        """The chosen arguments of SFTConfig."""
        return {n: v for n, v in self.settings.items() if n not in OWNERS}

    @property
    def lora_config(self) -> dict[str, float]:
        """The chosen arguments of LoraConfig; none for full fine-tuning."""
        if self.facts.method == "full":
            return {}
        return {n: v for n, v in self.settings.items() if n in OWNERS}

    @property
    def changes(self) -> dict[str, tuple[float, float]]:
        """The diff: each argument that the search changed, with its value before and after."""
        skipped = (RANK, ALPHA) if self.facts.method == "full" else ()
        return {
            f"{OWNERS.get(name, 'SFTConfig')}.{name}": (self.start[name], self.settings[name])
            for name in NAMES
            if name not in skipped and self.start[name] != self.settings[name]
        }

    @property
    def batches(self) -> tuple[int, int]:
        """The effective batch before and after."""
        rows = self.facts.rows
        return rows * int(self.start[ACCUMULATION]), rows * int(self.settings[ACCUMULATION])

    @property
    def seconds(self) -> float:
        """What all trials took, one after the other."""
        return sum(trial.outcome.seconds for trial in self.trials)

    @property
    def gpu_seconds(self) -> float:
        """What all trials took of GPUs; 0 on a CPU."""
        return sum(trial.outcome.seconds * trial.outcome.devices for trial in self.trials)

    @property
    def pruned(self) -> tuple[Trial, ...]:
        """The trials that were ended before their schedule."""
        return tuple(trial for trial in self.trials if trial.outcome.state == PRUNED)

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The trials whose trainer raised an exception."""
        return tuple(trial for trial in self.trials if trial.outcome.state == FAILED)

    def to_dict(self) -> dict[str, Any]:
        """Return strict-JSON values. Exceptions are named by their type: texts may hold paths."""
        known = super().to_dict()
        for trial in known["trials"]:
            trial["outcome"].pop("detail")
            trial["outcome"].pop("rows")
        return {
            "schema_version": SCHEMA_VERSION,
            **known,
            "changes": {name: list(values) for name, values in self.changes.items()},
            "seconds": self.seconds,
            "gpu_seconds": self.gpu_seconds,
        }

    def __str__(self) -> str:
        text: str = import_module("sftdiag.searches.text").render(self)
        return text.rstrip("\n")

    def _repr_html_(self) -> str:
        html: str = import_module("sftdiag.searches.html").body(self)
        return html
