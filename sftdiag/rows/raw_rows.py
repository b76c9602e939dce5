"""A raw row: its replies, what its template leaves out, and its tokens before they were cut."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sftdiag.rows import forms
from sftdiag.rows.left_out import left_out
from sftdiag.samples import CONVERSATION, PROMPT_COMPLETION, TEXT, Spans, Tokenization

PROMPTS = 64
"""Prompts of conversations that are tokenized alone and compared with the row: what a template does
to one it does to all."""


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
        self._compared = 0

    def format_of(self, row: Any) -> str:
        """Return what a raw row is."""
        return forms.format_of(row, self.text_field)

    def answers(
        self, row: Any, input_ids: tuple[int, ...], turns: Spans
    ) -> tuple[Spans | None, int | None]:
        """Return the replies in a row's tokens, None where they cannot be told.

        Beside them stands how many tokens at the end of the prompt alone are not in the row; None
        where they were not compared.

        Args:
            row: the raw row.
            input_ids: its tokens.
            turns: the replies that the template wrote in them.
        """
        form = self.format_of(row)
        if form == PROMPT_COMPLETION:
            start, missing = self.prompt_end(row, input_ids)
            end = len(input_ids)
            while end > start and input_ids[end - 1] in self.known.stops:
                end -= 1
            return ((start, end),) if start < end else (), missing
        lost: int | None = None
        if form == CONVERSATION and "prompt" in row and self._compared < PROMPTS:
            self._compared += 1
            lost = self.prompt_end(row, input_ids)[1]
        return turns or None, lost

    def prompt_end(self, row: Any, input_ids: tuple[int, ...]) -> tuple[int, int]:
        """Return where the prompt ends in a row, and how many of its tokens are not there."""
        try:
            prompt = self._prompt(row)
        except Exception:
            # A prompt that this tokenizer does not take alone.
            return 0, 0
        pairs = enumerate(zip(prompt, input_ids, strict=False))
        start = next((i for i, (one, other) in pairs if one != other), None)
        # A row that ends before its prompt does was cut there.
        return (len(prompt), 0) if start is None else (start, len(prompt) - start)

    def full(self, row: Any) -> tuple[int, ...] | None:
        """Return the tokens of a row before it was cut, or None."""
        try:
            return self.tokens(row)
        except Exception:
            # A row that this tokenizer does not take: its full length stays unknown.
            return None

    def tokens(self, row: Any) -> tuple[int, ...] | None:
        """Return the tokens of a row, None of one whose tokens only are known; or raise."""
        form = self.format_of(row)
        if form == CONVERSATION:
            return tuple(self._apply(row)["input_ids"])
        if form == PROMPT_COMPLETION:
            return tuple(self.tokenizer(row["prompt"] + row["completion"])["input_ids"])
        if form == TEXT:
            return tuple(self.tokenizer(row[self.text_field])["input_ids"])
        return None

    def assistant_mask(self, row: Mapping[str, Any]) -> list[int]:
        """Return 1 for each token of a conversation that the template marks as the assistant's."""
        return list(self._apply(row, return_assistant_tokens_mask=True)["assistant_masks"])

    def left_out(self, row: Any) -> tuple[str, ...]:
        """Return what of a conversation the template leaves out."""
        talk = forms.talk_of(row) if self.known.has_template else None
        if talk is None:
            return ()
        more = row.get("chat_template_kwargs") or {}

        def render(messages: list[forms.Message], tools: Any) -> str:
            return str(
                self.tokenizer.apply_chat_template(
                    messages, chat_template=self.template, tools=tools, tokenize=False, **more
                )
            )

        return left_out(render, talk.messages, _tools(row))

    def text(self, row: Any) -> str | None:
        """Return the text of a row that has one, of prompt and completion; else None."""
        form = self.format_of(row)
        if form == PROMPT_COMPLETION:
            return str(row["prompt"]) + str(row["completion"])
        return str(row[self.text_field]) if form == TEXT else None

    def roles(self, row: Any) -> tuple[str, ...]:
        """Return who speaks in a conversation, in the order of their first turns."""
        talk = forms.talk_of(row)
        roles = (str(m.get("role")) for m in talk.messages) if talk is not None else ()
        return tuple(dict.fromkeys(roles))

    def _prompt(self, row: Mapping[str, Any]) -> list[int]:
        talk = forms.talk_of(row)
        if talk is None:
            return list(self.tokenizer(row["prompt"])["input_ids"])
        rendered = self._render(row, talk.prompt, add_generation_prompt=True)
        return list(rendered["input_ids"])

    def _apply(self, row: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
        talk = forms.talk_of(row)
        return self._render(row, talk.messages if talk is not None else [], **more)

    def _render(
        self, row: Mapping[str, Any], messages: list[forms.Message], **more: Any
    ) -> Mapping[str, Any]:
        encoded: Mapping[str, Any] = self.tokenizer.apply_chat_template(
            messages,
            chat_template=self.template,
            tools=_tools(row),
            return_dict=True,
            **more,
            **(row.get("chat_template_kwargs") or {}),
        )
        return encoded


def _tools(row: Mapping[str, Any]) -> Any:
    tools = row.get("tools")
    return json.loads(tools) if isinstance(tools, str) else tools
