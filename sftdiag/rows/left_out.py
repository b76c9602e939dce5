"""What of a conversation its chat template leaves out.

Asked, not guessed: a part is changed, and where the rendered text stays the same the part is not in
it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from sftdiag.rows.forms import Message

TOOLS, CALLS, RESULTS = "tools", "tool_calls", "tool_results"
REASONING, HISTORY, ROLES = "reasoning", "thinking_history", "roles"

_KEYS = ("reasoning_content", "reasoning", "thinking")
"""Keys of a message under which templates look for thinking."""

_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)

_KNOWN = frozenset({"system", "developer", "user", "assistant", "tool", "function", "ipython"})
"""Roles that a template may place elsewhere, such as a system message in the user's turn."""

_MARK = "sftdiagseven"

Render = Callable[[list[Message], Any], str]


def left_out(render: Render, messages: list[Message], tools: Any) -> tuple[str, ...]:
    """Return the kinds of parts that are in a conversation and not in its text.

    Args:
        render: makes a text of messages and tools.
        messages: of the conversation.
        tools: the tools that it may call, or None.
    """
    if not tools and not any(_has_parts(message) for message in messages):
        return ()
    try:
        text = render(messages, tools)
    except Exception:
        return ()
    return tuple(dict.fromkeys(_kinds(render, messages, tools, text)))


def _kinds(render: Render, messages: list[Message], tools: Any, text: str) -> Iterator[str]:
    def unseen(change: Callable[[int, Message], Message], given: Any = tools) -> bool:
        try:
            return render([change(*pair) for pair in enumerate(messages)], given) == text
        except Exception:
            # It cannot be rendered so: nothing is known.
            return False

    if tools and unseen(lambda place, message: message, None):
        yield TOOLS
    if any(m.get("tool_calls") for m in messages) and unseen(_without_calls):
        yield CALLS
    if any(m.get("role") == "tool" for m in messages) and unseen(_other_result):
        yield RESULTS
    thinking = [place for place, message in enumerate(messages) if _thinks(message)]
    said = [place for place, m in enumerate(messages) if m.get("role") == "assistant"]
    earlier = [place for place in thinking if place != said[-1]] if said else thinking
    if thinking and unseen(_thinking_otherwise(thinking)):
        yield REASONING
    elif earlier and any(unseen(_thinking_otherwise([place])) for place in earlier):
        yield HISTORY
    strange = [place for place, m in enumerate(messages) if m.get("role") not in _KNOWN]
    if strange and unseen(_said_otherwise(strange)):
        yield ROLES


def _has_parts(message: Message) -> bool:
    strange = message.get("role") not in _KNOWN
    return strange or message.get("role") == "tool" or _thinks(message) or "tool_calls" in message


def _thinks(message: Message) -> bool:
    content = message.get("content")
    tagged = isinstance(content, str) and "<think>" in content and _THINK.search(content)
    return bool(tagged) or any(message.get(key) for key in _KEYS)


def _without_calls(place: int, message: Message) -> Message:
    kept = {key: value for key, value in message.items() if key != "tool_calls"}
    return kept if "content" in kept else {**kept, "content": ""}


def _other_result(place: int, message: Message) -> Message:
    return {**message, "content": _MARK} if message.get("role") == "tool" else message


def _thinking_otherwise(places: list[int]) -> Callable[[int, Message], Message]:
    def change(place: int, message: Message) -> Message:
        if place not in places:
            return message
        changed = {k: _MARK if k in _KEYS and v else v for k, v in message.items()}
        if isinstance(changed.get("content"), str):
            changed["content"] = _THINK.sub(f"<think>{_MARK}</think>", changed["content"])
        return changed

    return change


def _said_otherwise(places: list[int]) -> Callable[[int, Message], Message]:
    return lambda place, message: {**message, "content": _MARK} if place in places else message
