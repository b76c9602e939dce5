"""Kinds of rows: sound ones, as many as a small file has, each with words of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Message = dict[str, Any]

ROWS = 48

NAMES = (
    *("Ada", "Boris", "Chen", "Dora", "Emil", "Farah"),
    *("Goran", "Hedda", "Igor", "Jamila", "Kofi", "Lena"),
)
THINGS = (
    *("lamp", "kettle", "ladder", "basket", "violin", "compass"),
    *("saddle", "mirror", "anchor", "blanket", "drum", "teapot"),
)
PLACES = (
    *("cellar", "attic", "garden", "stable", "kitchen"),
    *("harbour", "library", "tower", "orchard", "mill"),
)
TOOL = "look_up_place"
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "Say where a thing is.",
            "parameters": {
                "type": "object",
                "properties": {"thing": {"type": "string", "description": "The thing."}},
                "required": ["thing"],
            },
        },
    }
]


def facts(row: int, turn: int = 0) -> tuple[str, str, str, int]:
    """Return who, what, where and how many, other ones for each row and turn."""
    place = row * 3 + turn
    return (
        NAMES[place % len(NAMES)],
        THINGS[(place * 5 + row // 12) % len(THINGS)],
        PLACES[(place * 3 + row // 7) % len(PLACES)],
        17 + 31 * place,
    )


def question(row: int, turn: int = 0) -> str:
    """Return a question."""
    who, thing, _, count = facts(row, turn)
    return f"Where did {who} leave the {thing} with the number {count}?"


def answer(row: int, turn: int = 0) -> str:
    """Return its answer, of another length in each row."""
    who, thing, place, count = facts(row, turn)
    more = " ".join(f"Then {NAMES[(row + i) % 12]} went by." for i in range((row * 7 + turn) % 9))
    return f"{who} left the {thing} with the number {count} in the {place}. {more}".strip()


def thought(row: int, turn: int = 0) -> str:
    """Return a thought before the answer."""
    return f"It was {facts(row, turn)[0]}, who likes the {facts(row, turn)[2]} best."


def user(row: int, turn: int = 0) -> Message:
    """Return a question as a message."""
    return {"role": "user", "content": question(row, turn)}


def assistant(row: int, turn: int = 0) -> Message:
    """Return an answer as a message."""
    return {"role": "assistant", "content": answer(row, turn)}


def turns(row: int, count: int) -> list[Message]:
    """Return so many questions with their answers."""
    return [said(row, turn) for turn in range(count) for said in (user, assistant)]


def _thinking(row: int, turn: int = 0) -> Message:
    content = f"<think>\n{thought(row, turn)}\n</think>\n\n{answer(row, turn)}"
    return {"role": "assistant", "content": content}


def _reasoning(row: int, turn: int = 0) -> Message:
    return {**assistant(row, turn), "reasoning_content": thought(row, turn)}


def _system(row: int) -> Message:
    return {"role": "system", "content": f"You keep the book of {facts(row)[0]}."}


def _tools(row: int) -> Row:
    call = {"name": TOOL, "arguments": {"thing": facts(row)[1]}}
    messages = [
        user(row),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": call}],
        },
        {"role": "tool", "name": TOOL, "content": f"in the {facts(row)[2]}, {facts(row)[3]}"},
        assistant(row),
    ]
    return {"messages": messages, "tools": TOOLS}


def _alpaca(row: int) -> Row:
    who, thing, _, count = facts(row)
    asked = f"Say where the {thing} is that {who} left."
    return {"instruction": asked, "input": f"Its number is {count}.", "output": answer(row)}


def _sharegpt(row: int) -> Row:
    names = {"user": "human", "assistant": "gpt"}
    said = [{"from": names[m["role"]], "value": m["content"]} for m in turns(row, 2)]
    return {"conversations": said}


KINDS: dict[str, Callable[[int], Row]] = {
    "one turn": lambda i: {"messages": turns(i, 1)},
    "several turns": lambda i: {"messages": turns(i, 3)},
    "system": lambda i: {"messages": [_system(i), *turns(i, 2)]},
    "tool calls": _tools,
    "thinking, one turn": lambda i: {"messages": [user(i), _thinking(i)]},
    "thinking in each turn": lambda i: {
        "messages": [said(i, t) for t in range(3) for said in (user, _thinking)]
    },
    "reasoning_content": lambda i: {
        "messages": [said(i, t) for t in range(2) for said in (user, _reasoning)]
    },
    "ends with a question": lambda i: {"messages": [*turns(i, 1), user(i, 1)]},
    "prompt, completion": lambda i: {"prompt": [user(i)], "completion": [assistant(i)]},
    "prompt of several turns": lambda i: {
        "prompt": [*turns(i, 1), user(i, 1)], "completion": [assistant(i, 1)]
    },
    "continued last turn": lambda i: {
        "prompt": [user(i), {"role": "assistant", "content": "Let me see."}],
        "completion": [assistant(i)],
    },
    "prompt, completion text": lambda i: {
        "prompt": f"Question: {question(i)}\nAnswer:", "completion": f" {answer(i)}"
    },
    "text": lambda i: {"text": f"{question(i)} {answer(i)} {answer(i, 1)}"},
    "pre-tokenized": lambda i: {"messages": turns(i, 2)},
    "streamed": lambda i: {"messages": turns(i, 1)},
    "ShareGPT": _sharegpt,
    "ShareGPT, user and assistant": lambda i: {
        "conversations": [{"from": m["role"], "value": m["content"]} for m in turns(i, 2)]
    },
    "Alpaca": _alpaca,
}  # fmt: skip
"""Name to what makes a row of a number."""


def rows_of(kind: str, count: int = ROWS) -> list[Row]:
    """Return the rows of a kind."""
    return [KINDS[kind](number) for number in range(count)]
