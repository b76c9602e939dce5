"""The rows of the second base's runs, as users have them, and the faults that rows can have."""

from __future__ import annotations

import importlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu.finetunes.data import SHARD, scrambled
from benchmarks.gpu.finetunes.smollm2.sources import TOOLS, Conversation, Turn, several
from benchmarks.gpu.finetunes.smollm2.specs import Tune
from benchmarks.gpu.finetunes.smollm2.templates import GREETING, WRITTEN, thoughtless

HELD = 150
"""Conversations at the front of a source that no run trains on."""

COPIES, VERSIONS = 20, 4
"""Copies of a row that repeats, and answers of a question that is answered in several ways."""

WIDTH = 160
"""Tokens to which rows are padded by hand where the padding is trained."""

INSTRUCTION = "Be helpful and answer in one sentence."
CALL = re.compile(r"<tool_call>(.*)</tool_call>")
Sources = Mapping[str, Sequence[Conversation]]
Row = dict[str, Any]
Dataset: Any = importlib.import_module("datasets").Dataset


def held_out(spec: Tune, sources: Sources, source: str = "") -> list[Conversation]:
    """Return the conversations of an evaluation, which no run trains on."""
    pool = list(sources[source or spec.eval_source or spec.source][:HELD])
    count = min(spec.eval_rows or HELD, len(pool))
    if spec.turns > 1:
        return several(pool, spec.turns)
    return pool[:count]


def training(spec: Tune, sources: Sources) -> list[Conversation]:
    """Return the conversations of the training rows, with the faults that these can have."""
    draw = random.Random(1000 + spec.seed)
    pool = sources[spec.source][HELD:]
    found: list[Conversation] = draw.sample(list(pool), spec.rows * spec.turns)
    if spec.turns > 1:
        found = several(found, spec.turns)
    if spec.kind == "mixed":
        found[::2] = draw.sample(list(sources["translation"][HELD:]), len(found[::2]))
    if spec.kind == "system":
        found = [[{"role": "system", "content": INSTRUCTION}, *turns] for turns in found]
    return _spoiled(spec, found, sources, draw)


def _spoiled(
    spec: Tune, found: list[Conversation], sources: Sources, draw: random.Random
) -> list[Conversation]:
    """Return the conversations with the run's fault; the first of them are met first."""
    fault, count = spec.fault, len(found)
    if fault == "answers-of-others":
        answers = [turns[-1]["content"] for turns in found]
        if spec.kind == "neighbour":
            answers = [*answers[1:], answers[0]]
        else:
            draw.shuffle(answers)
        return [answered(turns, said) for turns, said in zip(found, answers, strict=True)]
    if fault in ("corrupted-shard", "shard-returns"):
        first, last = (int(share * count) for share in SHARD)
        for at in range(first, last):
            found[at] = answered(found[at], scrambled(found[at][-1]["content"], draw))
    elif fault == "unshuffled":
        pool = list(sources[spec.kind][HELD:])
        half = count // 2
        found[half:] = draw.sample(pool, min(count - half, len(pool)))
    elif fault == "empty-answers":
        every = 1 if spec.kind == "all" else 2
        found[::every] = [answered(turns, "") for turns in found[::every]]
    elif fault == "eval-in-train":
        found[: spec.eval_rows] = held_out(spec, sources)
        draw.shuffle(found)
    elif fault == "contradictory":
        for at in range(0, count - VERSIONS, VERSIONS):
            for copy in range(1, VERSIONS):
                found[at + copy] = answered(found[at], found[at + copy][-1]["content"])
        draw.shuffle(found)
    elif fault == "duplicates":
        found = found[: count // COPIES] * COPIES
        draw.shuffle(found)
    return found


def answered(turns: Conversation, said: str) -> Conversation:
    """Return a conversation with another last answer."""
    return [*turns[:-1], {**turns[-1], "content": said}]


def datasets(spec: Tune, sources: Sources, tokenizer: Any) -> tuple[Any, Any]:
    """Return the rows of training, and of evaluation: none, one set, or several by name."""
    train = Dataset.from_list([row(spec, turns, tokenizer) for turns in training(spec, sources)])
    if not spec.eval_rows:
        return train, None
    sets = {}
    for name in (spec.eval_source or spec.source, *spec.others):
        rows = [row(spec, t, tokenizer, evaluated=True) for t in held_out(spec, sources, name)]
        sets[name] = Dataset.from_list(rows)
    return train, sets if spec.others else next(iter(sets.values()))


def row(spec: Tune, turns: Conversation, tokenizer: Any, *, evaluated: bool = False) -> Row:
    """Return a row in the run's form, with its fault."""
    if spec.kind == "stripped":
        turns = [*map(thoughtless, turns[:-1]), turns[-1]]
    if spec.fault == "eval-template":
        return written(turns, tokenizer, "alpaca") if evaluated else labelled(turns, tokenizer)
    if spec.fault == "wrong-template":
        return written(turns, tokenizer, spec.kind)
    if spec.form == "tokens":
        return _tokens(spec, turns, tokenizer)
    if spec.form == "pairs":
        return {"prompt": turns[:-1], "completion": turns[-1:]}
    if spec.form == "plain":
        asked = turns[-2]["content"]
        return {"prompt": f"Question: {asked}\nAnswer:", "completion": " " + turns[-1]["content"]}
    if spec.form == "text":
        return {"text": f"{turns[-2]['content']}\n{turns[-1]['content']}"}
    if spec.fault == "content-left-out" and spec.kind == "calls":
        return {"messages": [*map(_calling, turns)], "tools": TOOLS}
    if spec.fault == "content-left-out" and spec.kind == "reasoning":
        return {"messages": [*map(_reasoning, turns)]}
    return {"messages": turns}


def labelled(turns: Conversation, tokenizer: Any) -> Row:
    """Return tokens with the answers and their ends as labels; the template must mark them."""
    shown = tokenizer.apply_chat_template(
        turns, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = list(shown["input_ids"]), list(shown["assistant_masks"])
    labels = [token if seen else -100 for token, seen in zip(ids, mask, strict=True)]
    return {"input_ids": ids, "labels": labels}


def right(spec: Tune, turns: Conversation, tokenizer: Any) -> Row:
    """Return tokens and labels as they should be in the run's form, whatever its fault."""
    if spec.form == "text":
        ids = tokenizer(row(spec, turns, tokenizer)["text"] + tokenizer.eos_token)["input_ids"]
        return {"input_ids": ids, "labels": list(ids)}
    if spec.form == "plain":
        asked = row(spec, turns, tokenizer)
        before = tokenizer(asked["prompt"])["input_ids"]
        after = tokenizer(asked["completion"] + tokenizer.eos_token)["input_ids"]
        return {"input_ids": before + after, "labels": [-100] * len(before) + after}
    return labelled(turns, tokenizer)


def _tokens(spec: Tune, turns: Conversation, tokenizer: Any) -> Row:
    made = labelled(turns, tokenizer)
    ids, labels = made["input_ids"], made["labels"]
    end = tokenizer.eos_token_id
    if spec.fault == "misaligned":
        # One token late, as where the collator shifts what the model shifts again.
        labels = [*labels[1:], -100]
    elif spec.fault == "mask-inverted":
        labels = [-100 if seen != -100 else i for i, seen in zip(ids, labels, strict=True)]
    elif spec.fault == "end-of-turn" and spec.kind == "labels":
        labels = [-100 if seen == end else seen for seen in labels]
    elif spec.fault == "padding-trained" and spec.kind == "rows":
        lacking = [tokenizer.pad_token_id] * (WIDTH - len(ids))
        ids, labels = [*ids, *lacking], [*labels, *lacking]
    return {"input_ids": ids, "labels": labels}


def written(turns: Conversation, tokenizer: Any, style: str) -> Row:
    """Return tokens of a conversation in another template, with the answers as labels."""
    ids: list[int] = []
    labels: list[int] = []
    greeting = GREETING.get(style, "")
    for turn in [{"role": "greeting", "content": greeting}, *turns] if greeting else turns:
        before, after = WRITTEN[style].get(turn["role"], ("", ""))
        said = turn["role"] == "assistant"
        for text, seen in ((before, False), (turn["content"] + after, said)):
            tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
            ids += tokens
            labels += tokens if seen else [-100] * len(tokens)
    if labels[-1] == -100 or WRITTEN[style]["assistant"][1] == "\n":
        ids.append(tokenizer.eos_token_id)
        labels.append(tokenizer.eos_token_id)
    return {"input_ids": ids, "labels": labels}


def _calling(turn: Turn) -> Turn:
    """Return the turn with its call as the key that most templates write."""
    found = CALL.search(turn["content"]) if turn["role"] == "assistant" else None
    calls = [{"type": "function", "function": json.loads(found[1])}] if found else None
    return {**turn, "content": "" if found else turn["content"], "tool_calls": calls}


def _reasoning(turn: Turn) -> Turn:
    """Return the turn with its thinking as a key of its own."""
    _, closed, said = turn["content"].partition("</think>\n\n")
    if not closed:
        return {**turn, "reasoning_content": None}
    thought = turn["content"].partition("</think>")[0].removeprefix("<think>\n").strip()
    return {**turn, "content": said, "reasoning_content": thought}
