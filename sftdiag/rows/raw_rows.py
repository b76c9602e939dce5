"""A raw row: its format, and its tokens as they were before they were cut to a length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sftdiag.samples import CONVERSATION, PROMPT_COMPLETION, TEXT, TOKENS, Spans, Tokenization

MESSAGES = ("messages", "conversations", "conversation")
"""Columns that hold a conversation."""


class RawRows:
    """Tokenizes raw rows as the trainer did.

    Args:
        tokenizer: the trainer's.
        known: what is known of it.
        template: the chat template in use where it is not the tokenizer's own.
        text_field: the column that holds the text of a row.
    """

    def __init__(
        self, tokenizer: Any, known: Tokenization, template: str | None, text_field: str = "text"
    ) -> None:
        self.tokenizer = tokenizer
        self.known = known
        self.template = template
        self.text_field = text_field

    def format_of(self, row: Any) -> str:
        """Return what a raw row is."""
        if not isinstance(row, Mapping):
            return TOKENS
        if any(isinstance(row.get(name), list) for name in MESSAGES):
            return CONVERSATION
        if "prompt" in row and "completion" in row:
            return CONVERSATION if isinstance(row["prompt"], list) else PROMPT_COMPLETION
        return TEXT if isinstance(row.get(self.text_field), str) else TOKENS

    def answers(self, row: Any, input_ids: tuple[int, ...]) -> Spans | None:
        """Return the replies in a row's tokens; None where they cannot be told."""
        if self.format_of(row) == PROMPT_COMPLETION:
            return self._completion(row, input_ids)
        return self.known.answers(input_ids) or None

    def full(self, row: Any) -> tuple[int, ...] | None:
        """Return the tokens of a row before it was cut, or None."""
        try:
            return self._full(row, self.format_of(row))
        except Exception:
            # A row that this tokenizer does not take: its full length stays unknown.
            return None

    def assistant_mask(self, row: Mapping[str, Any]) -> list[int]:
        """Return 1 for each token of a conversation that the template marks as the assistant's."""
        return list(self._apply(row, return_assistant_tokens_mask=True)["assistant_masks"])

    def _full(self, row: Any, form: str) -> tuple[int, ...] | None:
        if form == CONVERSATION:
            return tuple(self._apply(row)["input_ids"])
        if form == PROMPT_COMPLETION:
            return tuple(self.tokenizer(row["prompt"] + row["completion"])["input_ids"])
        if form == TEXT:
            return tuple(self.tokenizer(row[self.text_field])["input_ids"])
        return None

    def _apply(self, row: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
        messages = next((row[n] for n in MESSAGES if isinstance(row.get(n), list)), None)
        if messages is None:
            messages = [*row["prompt"], *row["completion"]]
        tools = row.get("tools")
        encoded: Mapping[str, Any] = self.tokenizer.apply_chat_template(
            messages,
            chat_template=self.template,
            tools=json.loads(tools) if isinstance(tools, str) else tools,
            return_dict=True,
            **more,
            **(row.get("chat_template_kwargs") or {}),
        )
        return encoded

    def _completion(self, row: Mapping[str, Any], input_ids: tuple[int, ...]) -> Spans | None:
        try:
            prompt = self.tokenizer(row["prompt"])["input_ids"]
        except Exception:
            return None
        pairs = enumerate(zip(prompt, input_ids, strict=False))
        start = next((i for i, (one, other) in pairs if one != other), len(prompt))
        end = len(input_ids)
        while end > start and input_ids[end - 1] in self.known.stops:
            end -= 1
        return ((start, end),) if start < end else ()
