"""How many tokens each raw row has, as TRL would tokenize it: chat template and EOS included."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sftdiag.errors import SftdiagError, SourceError
from sftdiag.rows.forms import from_alpaca, with_roles
from sftdiag.sources.rows import Row

TEXT, MESSAGES, CONVERSATIONS = "text", "messages", "conversations"
IDS = "input_ids"
PROMPT, COMPLETION = "prompt", "completion"

EXPECTED = (
    "one of the columns text, messages, conversations or input_ids, prompt and completion, "
    "or instruction and output"
)
"""What rows are read from."""


TOKENIZERS = ("tokenizer", "vocab", "spiece", "sentencepiece")
"""How the names of a tokenizer's files begin."""


def load_tokenizer(path: str) -> Any:
    """Return the tokenizer of a folder, or of a hub name in the local cache; asks no network.

    Raises:
        SourceError: there is none.
        SftdiagError: transformers is not installed.
    """
    problem = "expected a tokenizer's folder, or a name in the local cache"
    # What is written as a path is no name; transformers takes seconds to load.
    if (path.startswith((".", os.sep)) or path.count("/") > 1) and not os.path.exists(path):
        raise SourceError(path, problem).keyed("no_tokenizer")
    try:
        from transformers import AutoTokenizer
    except ImportError:
        told = "this needs transformers: pip install 'sftdiag[trainer]'"
        raise SftdiagError(told).keyed("needs_transformers") from None
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except Exception as error:
        if os.path.isdir(path) and not any(n.startswith(TOKENIZERS) for n in os.listdir(path)):
            problem = f"{problem}; this folder holds none"
        # A plain miss is an OSError whose message speaks of a network that was not asked.
        elif not isinstance(error, OSError):
            problem = f"{problem}: {str(error).strip().partition(chr(10))[0]}"
        raise SourceError(path, problem).keyed("no_tokenizer") from None


class RowTokens:
    """Counts the tokens of rows.

    Args:
        tokenizer: a transformers tokenizer of its own: its truncation and padding are turned off.
        name: what to call the tokenizer in an error.
        data: what to call the rows in an error.
        column: the column to read; None finds it by TRL's names.
        renamed: ShareGPT's roles are called user and assistant, as a script may do.
    """

    def __init__(
        self,
        tokenizer: Any,
        name: str,
        data: str,
        column: str | None = None,
        *,
        renamed: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.data = data
        self.column = column
        self.renamed = renamed
        self._seen = 0
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        if self._backend is not None:
            self._backend.no_truncation()
            self._backend.no_padding()

    def lengths(self, rows: Sequence[Row]) -> list[int]:
        """Return the tokens of each row, before any truncation.

        Raises:
            SourceError: a row has no column to read, or the chat template refuses one.
        """
        first = self._seen + 1
        self._seen += len(rows)
        found: list[int | None] = [None] * len(rows)
        texts: dict[bool, list[tuple[int, str]]] = {False: [], True: []}
        chats: list[tuple[int, Row, list[Any]]] = []
        for place, given in enumerate(rows):
            row = from_alpaca(given) if self.column is None else given
            row = with_roles(row) if self.renamed else row
            value = self._value(row, first + place)
            if isinstance(value, str):
                texts[True].append((place, self._with_eos(value)))
            elif value and isinstance(value[0], Mapping):
                chats.append((place, row, [_chat_message(message) for message in value]))
            else:
                found[place] = len(value)
        texts[False] = self._render(chats, first)
        for special, items in texts.items():
            counts = self._count([text for _, text in items], special)
            for (place, _), count in zip(items, counts, strict=True):
                found[place] = count
        return [count or 0 for count in found]

    def _value(self, row: Row, number: int) -> Any:
        """Return what of a row is trained on: a text, messages or token ids."""
        if self.column is not None:
            value = row.get(self.column)
        elif IDS in row:
            value = row[IDS]
        elif PROMPT in row and COMPLETION in row:
            prompt, completion = row[PROMPT], row[COMPLETION]
            same = type(prompt) is type(completion) and isinstance(prompt, (str, list))
            value = prompt + completion if same else None
        else:
            names = (MESSAGES, CONVERSATIONS, TEXT)
            value = next((row[name] for name in names if row.get(name) is not None), None)
        if not isinstance(value, (str, list, tuple)):
            wanted = f"the column {self.column}" if self.column else EXPECTED
            shown = ", ".join(row) or "none"
            problem = f"row {number}: expected {wanted}; the columns are {shown}"
            key = "column" if self.column else "columns"
            raise SourceError(self.data, problem).keyed(
                key, number=number, column=self.column, shown=shown
            )
        return value

    def _with_eos(self, text: str) -> str:
        """Return the text as TRL trains on it: it ends with the end-of-sequence token."""
        eos = self.tokenizer.eos_token
        return text if not eos or text.endswith(eos) else text + eos

    def _render(self, chats: list[tuple[int, Row, list[Any]]], first: int) -> list[tuple[int, str]]:
        if not chats:
            return []
        if not self.tokenizer.chat_template:
            problem = "has no chat template, and the rows are conversations"
            raise SourceError(self.name, problem).keyed("no_template")
        plain = not any(row.get("tools") or row.get("chat_template_kwargs") for _, row, _ in chats)
        try:
            if plain:
                texts = self.tokenizer.apply_chat_template(
                    [messages for *_, messages in chats], tokenize=False
                )
            else:
                texts = [self._render_one(row, messages) for _, row, messages in chats]
        except Exception as error:
            begin, end = first + chats[0][0], first + chats[-1][0]
            reason = str(error).partition("\n")[0]
            problem = f"its chat template refuses one of rows {begin} to {end}: {reason}"
            raise SourceError(self.name, problem).keyed(
                "template_refuses_one", first=begin, last=end, said=reason
            ) from None
        return [(place, text) for (place, *_), text in zip(chats, texts, strict=True)]

    def _render_one(self, row: Row, messages: list[Any]) -> str:
        import json

        tools = row.get("tools")
        text: str = self.tokenizer.apply_chat_template(
            messages,
            tools=json.loads(tools) if isinstance(tools, str) else tools,
            tokenize=False,
            **(row.get("chat_template_kwargs") or {}),
        )
        return text

    def _count(self, texts: list[str], special: bool) -> list[int]:
        if not texts:
            return []
        if self._backend is not None:
            # Without building Python lists of the ids, which takes longer than tokenizing.
            encoded = self._backend.encode_batch_fast(texts, add_special_tokens=special)
            return [len(item) for item in encoded]
        ids = self.tokenizer(texts, add_special_tokens=special, return_attention_mask=False)
        return [len(row) for row in ids["input_ids"]]


def _chat_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message under ChatML's names, without the keys that Arrow filled with None."""
    names = {"from": "role", "value": "content"}
    return {names.get(key, key): value for key, value in message.items() if value is not None}
