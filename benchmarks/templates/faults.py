"""Faults of templates, masks and ends, put into sound rows of a real tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from benchmarks.templates.kinds import ROWS, Row, answer, question, rows_of

CHATML = "<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n{a}<|im_end|>\n"
LLAMA = (
    "<|start_header_id|>user<|end_header_id|>\n\n{q}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{a}<|eot_id|>"
)
ALPACA = "### Instruction:\n{q}\n\n### Response:\n{a}"


class Fault(NamedTuple):
    """A fault.

    Attributes:
        codes: the codes of which one must come first.
        rows: makes the rows; None where the tokenizer has not what the fault needs.
        options: of ``inspect``.
        template: makes another chat template of the tokenizer's own, or None.
    """

    codes: frozenset[str]
    rows: Callable[[Any], list[Row] | None]
    options: Mapping[str, Any] = MappingProxyType({})
    template: Callable[[Any], str | None] | None = None


def _tokenized(known: Any, turns: int = 1) -> list[tuple[list[int], list[bool], list[int]]] | None:
    """Return rows as ids, which of them are an answer with its end, and where answers end."""
    made = []
    for row in range(ROWS):
        messages: list[Row] = []
        answered: list[bool] = []
        ends: list[int] = []
        ids: list[int] = []
        for turn in range(turns):
            messages.append({"role": "user", "content": question(row, turn)})
            prompt = _ids(known, messages, add_generation_prompt=True)
            messages.append({"role": "assistant", "content": answer(row, turn)})
            before, ids = ids, _ids(known, messages)
            if ends and ids[: ends[-1]] != before[: ends[-1]]:
                # A template that writes earlier turns otherwise: which tokens are whose is unclear.
                return None
            pairs = enumerate(zip(prompt, ids, strict=False))
            start = next((i for i, (a, b) in pairs if a != b), len(prompt))
            answered += [False] * (start - len(answered))
            answered += [True] * (len(ids) - len(answered))
            end = max(i for i, token in enumerate(ids) if known.decode([token]).strip())
            if known.decode(ids).endswith("assistant<|end_header_id|>\n\n"):
                end = max(i for i, t in enumerate(ids) if known.decode([t]) == "<|eot_id|>")
                answered = answered[: end + 1]
            ends.append(end)
        made.append((ids[: len(answered)], answered, ends))
    return made


def _ids(known: Any, messages: list[Row], **more: Any) -> list[int]:
    return list(known.apply_chat_template(messages, return_dict=True, **more)["input_ids"])


def _labelled(change: Callable[[list[int], list[bool], list[int]], Row], turns: int = 1) -> Any:
    def rows(known: Any) -> list[Row] | None:
        if not known.chat_template:
            return None
        made = _tokenized(known, turns)
        return [change(*row) for row in made] if made is not None else None

    return rows


def _mask(ids: list[int], trained: list[bool]) -> Row:
    return {
        "input_ids": ids,
        "labels": [i if kept else -100 for i, kept in zip(ids, trained, strict=True)],
    }


def _end_lost(ids: list[int], answered: list[bool], ends: list[int]) -> Row:
    kept = [place for place in range(len(ids)) if place not in ends]
    return _mask([ids[place] for place in kept], [answered[place] for place in kept])


def _end_masked(ids: list[int], answered: list[bool], ends: list[int]) -> Row:
    return _mask(ids, [kept and place not in ends for place, kept in enumerate(answered)])


def _inverted(ids: list[int], answered: list[bool], ends: list[int]) -> Row:
    return _mask(ids, [not kept for kept in answered])


def _nothing(ids: list[int], answered: list[bool], ends: list[int]) -> Row:
    return _mask(ids, [False] * len(ids))


def _shifted(ids: list[int], answered: list[bool], ends: list[int]) -> Row:
    row = _mask(ids, answered)
    return {**row, "labels": [*row["labels"][1:], -100]}


def _text_without_end(known: Any) -> list[Row]:
    rows = []
    for row in range(ROWS):
        prompt = known(f"Question: {question(row)}\nAnswer:")["input_ids"]
        ids = known(f"Question: {question(row)}\nAnswer: {answer(row)}")["input_ids"]
        rows.append(_mask(list(ids), [place >= len(prompt) for place in range(len(ids))]))
    return rows


def _two_begins(known: Any) -> list[Row] | None:
    if not known.chat_template or known.bos_token_id is None:
        return None
    rows = [ids for ids, _, _ in _tokenized(known) or ()]
    if rows[0][0] != known.bos_token_id or rows[0].count(known.bos_token_id) > 1:
        return None
    return [{"input_ids": [known.bos_token_id, *ids]} for ids in rows]


def _texts(form: str, marks: str) -> Callable[[Any], list[Row] | None]:
    def rows(known: Any) -> list[Row] | None:
        if not known.chat_template or marks in known.chat_template:
            return None
        return [{"text": form.format(q=question(i), a=answer(i))} for i in range(ROWS)]

    return rows


def _cut(known: Any) -> list[Row] | None:
    if not known.chat_template:
        return None
    rows = [_mask(ids, answered) for ids, answered, _ in _tokenized(known, 3) or ()]
    if not rows:
        return None
    length = sorted(len(row["input_ids"]) for row in rows)[len(rows) // 2]
    return [{name: ids[:length] for name, ids in row.items()} for row in rows]


def _talks(kind: str) -> Callable[[Any], list[Row] | None]:
    return lambda known: rows_of(kind) if known.chat_template else None


def _strange_roles(known: Any) -> list[Row] | None:
    """Return rows by human and gpt, where the template does not refuse them."""
    asked = [{"role": "human", "content": "one"}, {"role": "gpt", "content": "two"}]
    try:
        known.apply_chat_template(asked, tokenize=False)
    except Exception:
        return None
    return rows_of("ShareGPT")


def _header_always(known: Any) -> str | None:
    """Return the template with the header of another answer at its end, asked or not."""
    asked: list[Row] = [{"role": "user", "content": "one"}]
    with_header = known.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    without = known.apply_chat_template(asked, tokenize=False)
    header = with_header[len(without) :]
    if not header.strip() or not with_header.startswith(without):
        return None
    quoted = header.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    ends = f"{{% if not add_generation_prompt %}}{{{{ '{quoted}' }}}}{{% endif %}}"
    return f"{known.chat_template}{ends}"


def _marks_lost(known: Any) -> str:
    """Return the template as TRL does not know it: without marks, with a comment."""
    template: str = known.chat_template
    for mark in ("{% generation %}", "{%- generation %}", "{% endgeneration %}"):
        template = template.replace(mark, "")
    return template + "{# another #}"


def _only(*codes: str) -> frozenset[str]:
    return frozenset(codes)


FAULTS: dict[str, Fault] = {
    "end of turn lost": Fault(_only("SFT406"), _labelled(_end_lost)),
    "end of turn lost, several turns": Fault(_only("SFT406"), _labelled(_end_lost, 3)),
    "end of turn masked": Fault(_only("SFT406"), _labelled(_end_masked)),
    "end of text missing": Fault(_only("SFT406"), _text_without_end),
    "header after the last turn": Fault(
        _only("SFT406"), _talks("several turns"), template=_header_always
    ),
    "two begin tokens": Fault(_only("SFT407"), _two_begins),
    "text in ChatML": Fault(_only("SFT410"), _texts(CHATML, "im_start")),
    "text in Llama 3's": Fault(_only("SFT410"), _texts(LLAMA, "start_header_id")),
    "text in Alpaca's": Fault(_only("SFT410"), _texts(ALPACA, "### Response")),
    "roles human and gpt": Fault(_only("SFT410"), _strange_roles),
    "answers cut by max_length": Fault(
        _only("SFT408"), _talks("several turns"), {"max_length": 110}
    ),
    "answers cut by hand": Fault(_only("SFT408"), _cut),
    "mask inverted": Fault(_only("SFT422", "SFT405"), _labelled(_inverted)),
    "every label masked": Fault(_only("SFT401"), _labelled(_nothing)),
    "labels shifted": Fault(_only("SFT404"), _labelled(_shifted)),
    "no generation marks": Fault(
        _only("SFT409"),
        _talks("one turn"),
        {"assistant_only_loss": True},
        template=lambda known: _marks_lost(known) if known.chat_template else None,
    ),
}
"""Name to the fault."""
