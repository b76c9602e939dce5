"""What a raw row is by its columns, and the messages in it, as TRL reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sftdiag.samples import CONVERSATION, PROMPT_COMPLETION, TEXT, TOKENS

MESSAGES = ("messages", "conversations", "conversation")
"""Columns that hold a conversation."""

Message = dict[str, Any]

ROLES = {"human": "user", "gpt": "assistant"}
"""ShareGPT's names of roles, as chat templates call them. TRL leaves them as they are."""

_NAMES: dict[Any, Any] = {"from": "role", "value": "content"}


class Talk(NamedTuple):
    """The messages of a row: its prompt's, none where it has no prompt, and the others."""

    prompt: list[Message]
    rest: list[Message]

    @property
    def messages(self) -> list[Message]:
        """All messages in turn."""
        return [*self.prompt, *self.rest]


def format_of(row: Any, text_field: str = "text") -> str:
    """Return what a raw row is, in the order in which TRL asks."""
    if not isinstance(row, Mapping):
        return TOKENS
    if "prompt" in row and "completion" in row:
        return CONVERSATION if isinstance(row["prompt"], list) else PROMPT_COMPLETION
    if any(isinstance(row.get(name), list) for name in MESSAGES):
        return CONVERSATION
    return TEXT if isinstance(row.get(text_field), str) else TOKENS


def talk_of(row: Any) -> Talk | None:
    """Return the messages of a conversation's row, or None."""
    if not isinstance(row, Mapping):
        return None
    prompt, completion = row.get("prompt"), row.get("completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        return Talk(_plain(prompt), _plain(completion))
    if "prompt" in row and "completion" in row:
        return None
    found = next((row[name] for name in MESSAGES if isinstance(row.get(name), list)), None)
    return Talk([], _plain(found)) if found is not None else None


def from_alpaca(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row of Alpaca's columns as prompt and completion messages; any other as it is.

    As LLaMA-Factory and ms-swift read them: the input follows the instruction on a line of its own,
    and the answer alone is trained. TRL does not read these columns.
    """
    instruction, output = row.get("instruction"), row.get("output")
    if not isinstance(instruction, str) or not isinstance(output, str):
        return row
    if format_of(row) != TOKENS or "input_ids" in row:
        return row
    parts = [part for part in (instruction, row.get("input")) if isinstance(part, str) and part]
    prompt: list[Message] = []
    if isinstance(row.get("system"), str) and row["system"]:
        prompt.append({"role": "system", "content": row["system"]})
    for asked, answered in row.get("history") or []:
        prompt += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answered},
        ]
    prompt.append({"role": "user", "content": "\n".join(parts)})
    completion = [{"role": "assistant", "content": output}]
    kept = {n: v for n, v in row.items() if n not in ("instruction", "input", "output", "history")}
    return {**kept, "prompt": prompt, "completion": completion}


def unread(row: Mapping[str, Any]) -> str | None:
    """Return the column of a row that TRL does not read as other frameworks do, or None.

    Examples:
        >>> unread({"instruction": "Add 1 and 1.", "output": "2"})
        'instruction'
        >>> said = {"from": "user", "value": "Add 1 and 1."}
        >>> unread({"conversations": [said]}), unread({"conversations": [{"role": "user"}]})
        (None, 'conversations')
    """
    if from_alpaca(row) is not row:
        return "instruction"
    if format_of(row) != CONVERSATION or "prompt" in row:
        return None
    name = next(name for name in MESSAGES if isinstance(row.get(name), list))
    named = any(isinstance(said, Mapping) and "from" in said for said in row[name])
    known = name == "messages" or (name == "conversations" and named)
    return None if known else name


def to_convert(row: Mapping[str, Any]) -> str | None:
    """Return the column of a row that is rewritten before TRL trains on it; None where none is.

    That is what TRL does not read, and conversations with ShareGPT's names of roles.
    """
    talk = talk_of(row) if "prompt" not in row else None
    if talk is None or not any(said.get("role") in ROLES for said in talk.messages):
        return unread(row)
    return next(name for name in MESSAGES if isinstance(row.get(name), list))


def with_roles(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a conversation with the roles that chat templates know; any other row as it is."""
    name = to_convert(row)
    if name is None or name == "instruction":
        return row
    said = [{**m, "role": ROLES.get(str(m.get("role")), m.get("role"))} for m in _plain(row[name])]
    return {**{key: value for key, value in row.items() if key != name}, "messages": said}


def is_readable(row: Mapping[str, Any]) -> bool:
    """Return whether a row has a column that can be trained on."""
    return any(name in row for name in (*MESSAGES, "text", "prompt", "input_ids")) or (
        "instruction" in row and "output" in row
    )


def _plain(messages: Any) -> list[Message]:
    """Return messages under TRL's names, without the keys that Arrow filled with None."""
    return [
        {str(_NAMES.get(key, key)): value for key, value in message.items() if value is not None}
        for message in messages
        if isinstance(message, Mapping)
    ]
