"""What a tokenizer, its chat template and a model's embeddings say, as a Tokenization."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from sftdiag.samples import Tokenization

_MARKERS = re.compile(r"\{%-?\s*generation\s*-?%\}")

_WORDS = ("sftdiagone", "sftdiagtwo", "sftdiagthree", "sftdiagfour")
"""Stand for the texts of a conversation; no template contains them."""


def read(tokenizer: Any, model: Any = None, template: str | None = None) -> Tokenization | None:
    """Return what is known of a tokenizer; None when there is none.

    Args:
        tokenizer: a tokenizer, or a processor that holds one.
        model: its model, for the tokens that end generation and those that are not trained.
        template: the chat template in use where it is not the tokenizer's own.
    """
    tokenizer = text_tokenizer(tokenizer)
    if tokenizer is None:
        return None
    own = getattr(tokenizer, "chat_template", None)
    used = template or (own if isinstance(own, str) else None)
    eos = _eos(tokenizer, model)
    opening, end = _turn(tokenizer, used, eos) if used else ((), None)
    special = {*eos, end, tokenizer.bos_token_id, tokenizer.pad_token_id}
    untrained = _untrained(tokenizer, model)
    named = [token for token in (*special, *untrained[:20]) if token is not None]
    marked = bool(used and _MARKERS.search(used))
    return Tokenization(
        eos_token_ids=eos,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        reply_opening=opening,
        end_of_turn=end,
        has_template=used is not None,
        generation_markers=marked,
        end_of_turn_marked=_end_is_marked(tokenizer, used, end) if marked else None,
        differs_from_saved=_differs_from_saved(tokenizer, own),
        untrained_token_ids=untrained,
        names={str(token): str(tokenizer.convert_ids_to_tokens(token)) for token in named},
    )


def text_tokenizer(processor: Any) -> Any:
    """Return the tokenizer of a processor, or the tokenizer itself; None when there is none."""
    tokenizer = getattr(processor, "tokenizer", processor)
    return tokenizer if hasattr(tokenizer, "convert_ids_to_tokens") else None


def conversation() -> list[dict[str, str]]:
    """Return two turns of words that no template contains."""
    roles = ("user", "assistant") * 2
    return [{"role": role, "content": word} for role, word in zip(roles, _WORDS, strict=True)]


def _eos(tokenizer: Any, model: Any) -> tuple[int, ...]:
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    more = configured if isinstance(configured, (list, tuple)) else [configured]
    found = (tokenizer.eos_token_id, *more)
    return tuple(dict.fromkeys(token for token in found if isinstance(token, int)))


def _turn(
    tokenizer: Any, template: str, eos: tuple[int, ...]
) -> tuple[tuple[int, ...], int | None]:
    """Return the tokens that open a reply and the one that ends it, from a rendered example."""
    try:
        text = _render(tokenizer, template, conversation())
        asked = _render(tokenizer, template, conversation()[:1])
    except Exception:
        return (), None
    places = [(text.find(word), text.find(word) + len(word)) for word in _WORDS]
    if any(start < 0 for start, _ in places) or places != sorted(places):
        return (), None
    (_, asked_end), (reply, reply_end), (again, _), (_, last_end) = places
    user_end = asked_end + len(_common(text[asked_end:reply], asked.partition(_WORDS[0])[2]))
    closing = _common(text[reply_end:again], text[last_end:]) or text[reply_end:again]
    opening = _tokens(tokenizer, text, user_end, reply)
    ends = _tokens(tokenizer, text, reply_end, reply_end + len(closing))
    known = {*eos, *getattr(tokenizer, "all_special_ids", ()), *_added(tokenizer)}
    end = next((token for token in ends if token in known), ends[0] if ends else None)
    return opening, end


def _render(tokenizer: Any, template: str, messages: list[dict[str, str]]) -> str:
    return str(tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False))


def _common(one: str, other: str) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    return one[: next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))]


def _tokens(tokenizer: Any, text: str, start: int, end: int) -> tuple[int, ...]:
    """Return the ids of the tokens that lie wholly in a part of a text, as they are in the text."""
    try:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    except (NotImplementedError, ValueError):
        return tuple(tokenizer(text[start:end], add_special_tokens=False)["input_ids"])
    pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return tuple(token for token, (a, b) in pairs if start <= a < b <= end)


def _added(tokenizer: Any) -> Mapping[int, Any]:
    added = getattr(tokenizer, "added_tokens_decoder", None)
    return added if isinstance(added, Mapping) else {}


def _end_is_marked(tokenizer: Any, template: str | None, end: int | None) -> bool | None:
    """Return whether the end of a turn is within the generation marks; None when unknown."""
    try:
        encoded = tokenizer.apply_chat_template(
            conversation(),
            chat_template=template,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
    except Exception:
        return None
    ids, mask = list(encoded["input_ids"]), list(encoded["assistant_masks"])
    if end is None or 1 not in mask:
        return None
    first = mask.index(1)
    closed = next((place for place in range(first, len(ids)) if ids[place] == end), None)
    return None if closed is None else bool(mask[closed])


def _differs_from_saved(tokenizer: Any, template: Any) -> bool | None:
    """Return whether the template is another than the one in the tokenizer's folder."""
    folder = getattr(tokenizer, "name_or_path", "") or ""
    path = os.path.join(folder, "chat_template.jinja")
    if not isinstance(template, str) or not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip() != template.strip()
    except OSError:
        return None


def _untrained(tokenizer: Any, model: Any) -> tuple[int, ...]:
    """Return the tokens added to the vocabulary of an adapted model that no gradient reaches."""
    if not getattr(model, "peft_config", None):
        return ()
    embeddings = model.get_input_embeddings()
    if any(p.requires_grad for p in embeddings.parameters()):
        return ()
    before = _saved_vocabulary(model)
    if before is None:
        return ()
    return tuple(token for token in sorted(tokenizer.get_vocab().values()) if token >= before)


def _saved_vocabulary(model: Any) -> int | None:
    """Return the size of the vocabulary that the base model was saved with, or None."""
    from transformers import AutoConfig

    name = getattr(model.config, "name_or_path", "") or ""
    if not name:
        return None
    try:
        saved = AutoConfig.from_pretrained(name, local_files_only=True).get_text_config()
    except Exception:
        return None
    size = getattr(saved, "vocab_size", None)
    return size if isinstance(size, int) else None
