"""What a conversation holds and its text does not."""

from __future__ import annotations

from typing import Any

import pytest

from sftdiag.rows.left_out import left_out

CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "jar"}}}
TOOLS = [{"type": "function", "function": {"name": "look"}}]
TOOLED = [
    {"role": "user", "content": "where"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "there"},
    {"role": "assistant", "content": "it is there"},
]
THOUGHT = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "<think>so</think>two"},
    {"role": "user", "content": "three"},
    {"role": "assistant", "content": "<think>then</think>four"},
]


def content_only(messages: list[dict[str, Any]], tools: Any) -> str:
    return "|".join(m["content"] for m in messages)


def everything(messages: list[dict[str, Any]], tools: Any) -> str:
    return f"{messages} {tools}"


def last_thought(messages: list[dict[str, Any]], tools: Any) -> str:
    said = [m["content"].rpartition("</think>")[2] for m in messages[:-1]]
    return "|".join([*said, messages[-1]["content"]])


@pytest.mark.parametrize(
    ("render", "messages", "tools", "expected"),
    [
        (content_only, TOOLED, TOOLS, ("tools", "tool_calls")),
        (content_only, TOOLED, None, ("tool_calls",)),
        (everything, TOOLED, TOOLS, ()),
        (content_only, THOUGHT, None, ()),
        (last_thought, THOUGHT, None, ("thinking_history",)),
        (last_thought, THOUGHT[2:], None, ()),
        (
            content_only,
            [{**THOUGHT[0]}, {"role": "assistant", "content": "two", "reasoning_content": "so"}],
            None,
            ("reasoning",),
        ),
        (lambda m, t: "", [{"role": "human", "content": "one"}], None, ("roles",)),
        (content_only, [{"role": "human", "content": "one"}], None, ()),
        (lambda m, t: 1 / 0, TOOLED, TOOLS, ()),
    ],
)
def test_left_out(render: Any, messages: Any, tools: Any, expected: tuple[str, ...]) -> None:
    assert left_out(render, messages, tools) == expected


def test_plain_conversations_are_not_rendered_once_more() -> None:
    def refused(messages: Any, tools: Any) -> str:
        raise AssertionError

    assert left_out(refused, THOUGHT[:1], None) == ()
