"""What is true of a kind of row with a tokenizer, by what its template writes.

Nothing here is sftdiag's: it is what the table is held against.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.templates.kinds import TOOL, TOOLS, Row, facts, thought

BESIDE = {"from": "role", "value": "content"}


class Truth(NamedTuple):
    """What may, and must, be said of rows.

    Attributes:
        codes: of warnings that are true.
        refused: part of the message with which the rows cannot be made; None where they can.
    """

    codes: frozenset[str] = frozenset()
    refused: str | None = None


def truth_of(known: Any, kind: str, rows: list[Row]) -> Truth:
    """Return what is true of rows of a kind."""
    if kind in ("text", "prompt, completion text"):
        return Truth(_prefix(known, rows[0]))
    if not known.chat_template:
        return Truth() if kind == "pre-tokenized" else Truth(refused="has no chat template")
    row = _as_trl(rows[0])
    try:
        text = _render(known, row)
    except Exception as error:
        return Truth(refused=str(error).partition("\n")[0])
    codes = set(_left_out(known, kind, row, text))
    said = "assistant" in {m["role"] for m in _messages(row)}
    codes |= set() if said else {"SFT410"}
    if said and text.endswith(_header(known)):
        codes.add("SFT406")
    return Truth(frozenset(codes) | _prefix(known, row))


def stops_elsewhere(known: Any, kind: str) -> bool:
    """Return whether the last reply of such rows ends with another token than a text does.

    A template may end the last reply of all otherwise than one that a question follows.
    """
    if not known.chat_template:
        return False
    asked = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    if kind == "ends with a question":
        asked.append({"role": "user", "content": "three"})
    text = known.apply_chat_template(asked, tokenize=False)
    return known.eos_token not in text.rpartition("two")[2].partition("three")[0]


def _left_out(known: Any, kind: str, row: Row, text: str) -> list[str]:
    if kind == "tool calls":
        without = _render(known, {**row, "tools": None})
        told = (TOOL in _only_call(without), TOOLS[0]["function"]["description"] in text)
        result = f"{facts(0)[2]}, {facts(0)[3]}" in text
        return [] if all((*told, result)) else ["SFT424"]
    counts = {"thinking, one turn": 1, "thinking in each turn": 3, "reasoning_content": 2}
    wanted = [thought(0, turn) for turn in range(counts.get(kind, 0))]
    return [] if all(piece in text for piece in wanted) else ["SFT424"]


def _only_call(text: str) -> str:
    """Return what stands before the tool's result, whose turn may name the tool, too."""
    return text.partition(f"in the {facts(0)[2]}, {facts(0)[3]}")[0]


def _prefix(known: Any, row: Row) -> frozenset[str]:
    """Return that the prompt's tokens are not those that its row begins with."""
    if "prompt" not in row:
        return frozenset()
    if isinstance(row["prompt"], str):
        prompt = known(row["prompt"])["input_ids"]
        whole = known(row["prompt"] + row["completion"])["input_ids"]
    else:
        prompt = _ids(known, row["prompt"], add_generation_prompt=True)
        whole = _ids(known, row["prompt"] + row["completion"])
    return frozenset() if list(whole[: len(prompt)]) == list(prompt) else frozenset({"SFT425"})


def _ids(known: Any, messages: list[Row], **more: Any) -> list[int]:
    rendered = known.apply_chat_template(messages, return_dict=True, **more)
    return list(rendered["input_ids"])


def _header(known: Any) -> str:
    """Return what the template writes when it is asked for a reply."""
    asked = [{"role": "user", "content": "one"}]
    text = known.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    tail = str(text.rpartition("one")[2])
    plain = known.apply_chat_template(
        [*asked, {"role": "assistant", "content": "two"}], tokenize=False
    )
    # Of what follows a question the end of its turn is no part of the header.
    while tail and not plain.partition("one")[2].startswith(tail):
        tail = tail[:-1]
    end = plain.rpartition("two")[2]
    common = next((i for i in range(len(end), 0, -1) if tail.endswith(end[-i:])), 0)
    header = end[len(end) - common :].lstrip()
    return header if "assistant" in header else "\0"


def _render(known: Any, row: Row) -> str:
    return str(known.apply_chat_template(_messages(row), tools=row.get("tools"), tokenize=False))


def _messages(row: Row) -> list[Row]:
    return list(row["messages"] if "messages" in row else row["prompt"] + row["completion"])


def _as_trl(row: Row) -> Row:
    if "instruction" in row:
        asked = {"role": "user", "content": f"{row['instruction']}\n{row['input']}"}
        return {"prompt": [asked], "completion": [{"role": "assistant", "content": row["output"]}]}
    if "conversations" in row:
        return {"messages": [{BESIDE[k]: v for k, v in m.items()} for m in row["conversations"]]}
    return row
