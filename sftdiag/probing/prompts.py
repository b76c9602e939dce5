"""Prompts: what the model is asked, from rows of the evaluation set or from what a user gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sftdiag.errors import ConfigError
from sftdiag.samples import IGNORE_INDEX, Sample
from sftdiag.values import Value

MOST_PROMPTS = 16
"""Prompts asked: the noise of a share over them is 0.12 at most."""

PROMPT_TOKENS = 256
"""Longer prompts are passed over while there are others: they cost memory and time."""

REFERENCE_TOKENS = 256
"""Longer reference answers are cut, and their end is not asked for."""

Tokens = tuple[int, ...]


class Prompt(Value):
    """Token ids of a prompt and of its reference answer.

    Attributes:
        ids: the prompt.
        reference: the answer without its end token, or None.
        ends: whether an end token of the answer is among the labels; None without an answer or
            where it was cut.
    """

    ids: Tokens
    reference: Tokens | None = None
    ends: bool | None = None


def from_samples(
    samples: Iterable[Sample], ends: frozenset[int], opening: Tokens, reply_tokens: int
) -> list[Prompt]:
    """Return up to :data:`MOST_PROMPTS` prompts, those first whose answer fits into a reply.

    Args:
        samples: rows as the loss sees them; packed rows have ``seq_lengths`` or several answers.
        ends: the end tokens.
        opening: what the chat template writes before an answer; empty without a template.
        reply_tokens: tokens a reply may have.
    """
    found: dict[tuple[Tokens, Tokens | None], Prompt] = {}
    for sample in samples:
        for ids, labels in _documents(sample):
            prompt = _prompt(ids, labels, ends, opening)
            if prompt is not None:
                found.setdefault((prompt.ids, prompt.reference), prompt)
    chosen = sorted(found.values(), key=lambda prompt: not _fits(prompt, reply_tokens))
    return [_cut(prompt) for prompt in chosen[:MOST_PROMPTS]]


def from_given(
    given: Sequence[str | Mapping[str, Any]], tokenizer: Any, ends: frozenset[int]
) -> list[Prompt]:
    """Return the prompts that a user gave, as :data:`sftdiag.probes.settings.PROMPT` says.

    Raises:
        ConfigError: the chat template refuses one.
    """
    found = []
    for number, item in enumerate(given[:MOST_PROMPTS], start=1):
        try:
            found.append(_cut(_given(item, tokenizer, ends)))
        except Exception as error:  # a template may refuse anything
            problem = " ".join(str(error).split())
            raise ConfigError(f"prompt {number} cannot be asked: {problem}") from None
    return found


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end generation: the configured ones, or else the tokenizer's."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if configured is None:
        configured = getattr(tokenizer, "eos_token_id", None)
    values = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(value for value in values if isinstance(value, int))


def opening_of(tokenizer: Any) -> Tokens:
    """Return the tokens that the chat template writes before an answer, or none."""
    turn = [{"role": "user", "content": "x"}]
    try:
        closed = _render(tokenizer, turn)
        opened = _asked(tokenizer, turn)
    except Exception:  # a template may refuse anything; jinja's errors are not ours to know
        return ()
    return tuple(opened[len(closed) :]) if opened[: len(closed)] == closed else ()


def user_opening_of(tokenizer: Any, ends: frozenset[int]) -> str:
    """Return the text that the chat template writes before a turn of the user, or ``""``."""
    turns = [("user", "aaa"), ("assistant", "bbb"), ("user", "ccc")]
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception:
        return ""
    between = text.partition("bbb")[2].partition("ccc")[0]
    for token in ends:
        between = between.replace(tokenizer.convert_ids_to_tokens(token) or "\0", "")
    opening = str(between.strip())
    return opening if len(opening) > 2 else ""


def _render(tokenizer: Any, messages: Any, **options: Any) -> list[int]:
    rendered = tokenizer.apply_chat_template(messages, return_dict=True, **options)["input_ids"]
    return list(rendered)


def _asked(tokenizer: Any, messages: list[Any]) -> list[int]:
    """Return the tokens of messages up to where the answer begins."""
    opened = _render(tokenizer, messages, add_generation_prompt=True)
    if opened != _render(tokenizer, messages):
        return opened
    # A template without a generation prompt: what it writes before an answer opens the answer.
    answered = [*messages, {"role": "assistant", "content": "\u241e"}]
    text = tokenizer.apply_chat_template(answered, tokenize=False).rpartition("\u241e")[0]
    return list(tokenizer(text.rstrip(" "), add_special_tokens=False)["input_ids"])


def _documents(sample: Sample) -> Iterable[tuple[Tokens, Tokens]]:
    """Yield the documents of a row: one, or those that packing put together."""
    lengths = (sample.row or {}).get("seq_lengths") or [len(sample.input_ids)]
    start = 0
    for length in lengths:
        yield sample.input_ids[start : start + length], sample.labels[start : start + length]
        start += length


def _prompt(ids: Tokens, labels: Tokens, ends: frozenset[int], opening: Tokens) -> Prompt | None:
    """Return a document's first answer that is trained, and what comes before it."""
    trained = [index for index, label in enumerate(labels) if label != IGNORE_INDEX]
    if len(ids) < 2 or not trained:
        return None
    start, guessed = trained[0], False
    if start == 0:
        answer = _answer_start(ids, opening)
        # Text without a template has no answer: its second half continues the first.
        start, guessed = answer or max(1, len(ids) // 2), answer is None
    stop = next((i for i in range(start, len(ids)) if labels[i] == IGNORE_INDEX), len(ids))
    # A later turn of an unmasked row is not part of this answer.
    end = next((i for i in range(start, stop) if ids[i] in ends), None)
    if end is not None:
        return Prompt(ids[:start], ids[start:end], True)
    return Prompt(ids[:start], ids[start:stop], None if guessed else False)


def _answer_start(ids: Tokens, opening: Tokens) -> int | None:
    """Return where the last answer of an unmasked row begins, or None where no template says."""
    size = len(opening)
    for index in range(len(ids) - size - 1, 0, -1):
        if size and ids[index : index + size] == opening:
            return index + size
    return None


def _fits(prompt: Prompt, reply_tokens: int) -> bool:
    answer = prompt.reference or ()
    return len(prompt.ids) <= PROMPT_TOKENS and 0 < len(answer) < reply_tokens


def _cut(prompt: Prompt) -> Prompt:
    ids = prompt.ids[-PROMPT_TOKENS:]
    if prompt.reference is None or len(prompt.reference) <= REFERENCE_TOKENS:
        return prompt.replace(ids=ids)
    return Prompt(ids, prompt.reference[:REFERENCE_TOKENS], None)


def _given(item: str | Mapping[str, Any], tokenizer: Any, ends: frozenset[int]) -> Prompt:
    asked, answer = _asked_and_answer(item)
    if isinstance(asked, str) and _wants_a_turn(asked, tokenizer):
        asked = [{"role": "user", "content": asked}]
    if isinstance(asked, str):
        ids = tokenizer(asked)["input_ids"]
        ids = ids[:-1] if ids and ids[-1] in ends else ids
    else:
        ids = _asked(tokenizer, asked)
    if answer is None:
        return Prompt(tuple(ids))
    reference = tokenizer(answer, add_special_tokens=False)["input_ids"]
    stop = next((i for i, token in enumerate(reference) if token in ends), len(reference))
    # A file seldom holds the end token: that the answer ends there is what the user says.
    return Prompt(tuple(ids), tuple(reference[:stop]), True)


def _asked_and_answer(item: str | Mapping[str, Any]) -> tuple[Any, str | None]:
    """Return what is asked, a text or messages, and the text of the answer."""
    if isinstance(item, str):
        return item, None
    messages = item.get("messages")
    if messages:
        answered = messages[-1]["role"] == "assistant"
        return (messages[:-1], messages[-1]["content"]) if answered else (messages, None)
    answer = item.get("completion")
    return item["prompt"], answer[0]["content"] if isinstance(answer, list) else answer


def _wants_a_turn(text: str, tokenizer: Any) -> bool:
    """Return whether a text is what a user says, not what a chat template made of it."""
    if not getattr(tokenizer, "chat_template", None):
        return False
    return not any(token in text for token in tokenizer.all_special_tokens)
