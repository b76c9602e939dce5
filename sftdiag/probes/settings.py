"""Probes: what a user asks to be measured on the model, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sftdiag.config import matches, selectors
from sftdiag.errors import ConfigError
from sftdiag.probes import PROBES, Probe
from sftdiag.values import Value

SECONDS = 10.0
"""Time a probe may take at one evaluation. 16 replies of 64 tokens, greedy and sampled, 8 at a
time, are 256 steps of generation: 8 s at 30 ms a step. What a small model took: docs/probes.md."""

REPLY_TOKENS = 64
"""Tokens a reply may have: long enough for a loop of a sentence to come round twice."""

ROWS = ("SFT419", "answers-of-other-rows")
"""The check that asks the model of the rows, where their words do not tell whose answers they are:
it is chosen as a probe is, and is told as what it is, a check before step 1."""

PROMPT = "a text, {'prompt': ...} with or without 'completion', or {'messages': [...]}"
"""What a prompt is."""


def is_prompt(item: object) -> bool:
    """Return whether something is what :data:`PROMPT` says.

    Examples:
        >>> is_prompt("What is a mask?"), is_prompt({"question": "What is a mask?"})
        (True, False)
        >>> is_prompt({"messages": [{"role": "assistant", "content": "nobody asked"}]})
        False
    """
    if not isinstance(item, Mapping):
        return _is_text(item)
    if item.get("messages") is not None:
        messages = item["messages"]
        return _are_messages(messages) and messages[0]["role"] != "assistant"
    asked, answer = item.get("prompt"), item.get("completion")
    answered = answer is None or isinstance(answer, str) or _are_messages(answer)
    return answered and (_is_text(asked) or _are_messages(asked))


def kind_of(item: object) -> str:
    """Return what was found in the place of a prompt, without its text."""
    if isinstance(item, Mapping):
        return f"an object with {', '.join(map(repr, item)) or 'nothing'}"
    return f"an empty {type(item).__name__}" if not item else f"a {type(item).__name__}"


def _is_text(item: object) -> bool:
    return isinstance(item, str) and bool(item.strip())


def _are_messages(item: object) -> bool:
    if not isinstance(item, Sequence) or isinstance(item, str) or not item:
        return False
    texts = (m.get(name) for m in item if isinstance(m, Mapping) for name in ("role", "content"))
    return [isinstance(text, str) for text in texts] == [True] * 2 * len(item)


class Probes(Value):
    """What to measure on the model itself, at the start and at every evaluation.

    Attributes:
        select: codes or names of probes, such as ``["forgetting"]``; None means all. With
            ``"answers-of-other-rows"`` (SFT419) the model is asked once, before training, whether
            answers are likelier after their own prompts, where their words do not tell.
        seconds: time that each probe may take at one evaluation, and before training, from taking
            the model to giving it back; what may not fit is not begun. Replies are made once for
            all probes that look at them, within the first one's time.
        prompts: what to ask instead of the evaluation rows, the first 16 of them: strings,
            ``{"prompt": ...}`` with or without ``"completion"``, or ``{"messages": [...]}``.
            With a chat template a string is asked as a turn of the user, unless it holds the
            template's own tokens.
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
            all_of_them = (*((kind.code, kind.name) for kind in PROBES), ROWS)
            if not any(matches((selector,), code, name) for code, name in all_of_them):
                known = ", ".join(name for _, name in all_of_them)
                raise ConfigError(f"unknown probe {selector!r}; expected some of {known}")
        if type(self.seconds) not in (int, float) or not self.seconds > 0:
            raise ConfigError(f"seconds must be above 0, got {self.seconds!r}")
        if type(self.reply_tokens) is not int or self.reply_tokens < 8:
            raise ConfigError(f"reply_tokens must be 8 or more, got {self.reply_tokens!r}")
        for name in ("prompts", "texts"):
            given = getattr(self, name)
            if isinstance(given, str) or (given is not None and not isinstance(given, Sequence)):
                raise ConfigError(f"{name} must be a list, got {given!r}")
            is_one, expected = (is_prompt, PROMPT) if name == "prompts" else (_is_text, "a text")
            for number, item in enumerate(given or (), start=1):
                if not is_one(item):
                    got = kind_of(item)
                    raise ConfigError(f"{name}: entry {number}: expected {expected}; got {got}")

    @property
    def kinds(self) -> tuple[type[Probe], ...]:
        """The chosen probes, in the order of their codes."""
        chosen = selectors(self.select or (), "probes")
        return tuple(k for k in PROBES if not chosen or matches(chosen, k.code, k.name))

    @property
    def asks_of_rows(self) -> bool:
        """Whether the model is asked whose answers the rows have."""
        chosen = selectors(self.select or (), "probes")
        return not chosen or matches(chosen, *ROWS)
