"""Probes: what a user asks to be measured on the model, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sftdiag.config import matches, selectors
from sftdiag.errors import ConfigError
from sftdiag.probes import PROBES, Probe
from sftdiag.values import Value

SECONDS = 10.0
"""Time a probe may take at one evaluation. 16 replies of 64 tokens, greedy and sampled, take about
2 s with a model of 30 M parameters on an H100 (docs/probes.md) and 8 s at 30 ms a token."""

REPLY_TOKENS = 64
"""Tokens a reply may have: long enough for a loop of a sentence to come round twice."""


class Probes(Value):
    """What to measure on the model itself, at the start and at every evaluation.

    Attributes:
        select: codes or names of probes, such as ``["forgetting"]``; None means all.
        seconds: time that each probe may take at one evaluation.
        prompts: what to ask instead of the evaluation rows: strings, ``{"prompt": ...}`` with or
            without ``"completion"``, or ``{"messages": [...]}``.
        texts: general texts for the forgetting probe instead of the shipped ones, a paragraph
            each.
        reply_tokens: tokens that a reply may have.

    Raises:
        ConfigError: a code, name or value is outside its domain.
    """

    select: str | Iterable[str] | None = None
    seconds: float = SECONDS
    prompts: Sequence[str | Mapping[str, Any]] | None = None
    texts: Sequence[str] | None = None
    reply_tokens: int = REPLY_TOKENS

    @classmethod
    def parse(cls, choice: Any) -> Probes | None:
        """Return the settings for ``probes=``: True, codes or names, or Probes; None for none.

        Raises:
            ConfigError: something else was given.
        """
        if choice is None or choice is False:
            return None
        if choice is True:
            return cls()
        return choice if isinstance(choice, Probes) else cls(choice)

    def _validate(self) -> None:
        """Refuse what the class says it refuses."""
        chosen = selectors(self.select or (), "probes")
        for selector in chosen:
            if not any(matches((selector,), kind.code, kind.name) for kind in PROBES):
                known = ", ".join(kind.name for kind in PROBES)
                raise ConfigError(f"unknown probe {selector!r}; expected some of {known}")
        if not self.seconds > 0:
            raise ConfigError(f"seconds must be above 0, got {self.seconds!r}")
        if type(self.reply_tokens) is not int or self.reply_tokens < 8:
            raise ConfigError(f"reply_tokens must be 8 or more, got {self.reply_tokens!r}")
        for name in ("prompts", "texts"):
            given = getattr(self, name)
            if isinstance(given, str) or (given is not None and not isinstance(given, Sequence)):
                raise ConfigError(f"{name} must be a list, got {given!r}")

    @property
    def kinds(self) -> tuple[type[Probe], ...]:
        """The chosen probes, in the order of their codes."""
        chosen = selectors(self.select or (), "probes")
        return tuple(k for k in PROBES if not chosen or matches(chosen, k.code, k.name))
