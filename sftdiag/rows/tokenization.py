"""What a tokenizer, its chat template and a model's embeddings say, as a Tokenization."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

from sftdiag.rows import turns
from sftdiag.samples import Tokenization

_MARKERS = re.compile(r"\{%-?\s*generation\s*-?%\}")


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
    generation = _generation_eos(tokenizer, model)
    eos = tuple(dict.fromkeys(t for t in (tokenizer.eos_token_id, *generation) if t is not None))
    learned = turns.learn(tokenizer, used, eos) if used else turns.Learned()
    bos, pad = tokenizer.bos_token_id, tokenizer.pad_token_id
    untrained = _untrained(tokenizer, model)
    named = (*eos, *learned.turns.ends, learned.end, bos, pad, *untrained[:20])
    marked = bool(used and _MARKERS.search(used))
    return Tokenization(
        eos_token_ids=eos,
        bos_token_id=bos,
        pad_token_id=pad,
        reply_opening=learned.opening,
        end_of_turn=learned.end,
        turns=learned.turns,
        generation_eos_ids=generation,
        has_template=used is not None,
        generation_markers=marked,
        replaceable=None if marked or used is None else _replaceable(tokenizer),
        end_of_turn_marked=_end_is_marked(tokenizer, used, learned.end) if marked else None,
        differs_from_saved=_differs_from_saved(tokenizer, own),
        adds_bos=bos is not None and list(tokenizer("a")["input_ids"][:1]) == [bos],
        generation_known=bool(generation),
        truncates_left=getattr(tokenizer, "truncation_side", "right") == "left",
        untrained_token_ids=untrained,
        trained_token_ids=(_trained(model) or ()) if untrained else (),
        vocabulary=len(tokenizer) if hasattr(tokenizer, "__len__") else None,
        names={
            str(token): str(tokenizer.convert_ids_to_tokens(token))
            for token in named
            if token is not None
        },
    )


def text_tokenizer(processor: Any) -> Any:
    """Return the tokenizer of a processor, or the tokenizer itself; None when there is none."""
    tokenizer = getattr(processor, "tokenizer", processor)
    return tokenizer if hasattr(tokenizer, "convert_ids_to_tokens") else None


def training_template(tokenizer: Any) -> str | None:
    """Return TRL's version of a known template with generation marks; None keeps the own one."""
    try:
        from trl.chat_template_utils import get_training_chat_template

        template = get_training_chat_template(tokenizer)
    except Exception:
        # Another TRL, or a template that it does not know: the checks say what the own one lacks.
        return None
    return template if isinstance(template, str) else None


def _replaceable(tokenizer: Any) -> bool | None:
    """Return whether TRL has a version of the template with marks; None where it is not loaded."""
    return training_template(tokenizer) is not None if "trl" in sys.modules else None


def _generation_eos(tokenizer: Any, model: Any) -> tuple[int, ...]:
    """Return the tokens at which the model's generation stops; without a model, as saved."""
    configured: Any = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if model is None:
        path = os.path.join(getattr(tokenizer, "name_or_path", "") or "", "generation_config.json")
        try:
            with open(path, encoding="utf-8") as file:
                configured = json.load(file).get("eos_token_id")
        except (OSError, ValueError, AttributeError):
            return ()
    more = configured if isinstance(configured, (list, tuple)) else [configured]
    return tuple(token for token in more if isinstance(token, int))


def _end_is_marked(tokenizer: Any, template: str | None, end: int | None) -> bool | None:
    """Return whether the end of a turn is within the generation marks; None when unknown."""
    try:
        encoded = tokenizer.apply_chat_template(
            turns.conversation(),
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
    """Return whether the template writes something else than the one in the tokenizer's folder.

    One that only marks the assistant's text, as assistant_only_loss needs it, writes the same.
    """
    folder = getattr(tokenizer, "name_or_path", "") or ""
    path = os.path.join(folder, "chat_template.jinja")
    if not isinstance(template, str) or not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            saved = file.read()
    except OSError:
        return None
    return saved.strip() != template.strip() and not turns.alike(tokenizer, saved, template)


def _untrained(tokenizer: Any, model: Any) -> tuple[int, ...]:
    """Return the tokens added to the vocabulary of an adapted model that no gradient reaches."""
    if not getattr(model, "peft_config", None):
        return ()
    trained = _trained(model)
    before = _saved_vocabulary(model) if trained is not None else None
    if trained is None or before is None:
        return ()
    new = {token for token in tokenizer.get_vocab().values() if token >= before}
    return tuple(sorted(new.difference(trained)))


def _trained(model: Any) -> tuple[int, ...] | None:
    """Return the tokens of which an adapter trains the embeddings; None where it trains all."""
    embeddings = model.get_input_embeddings()
    layers = [
        m for m in embeddings.modules() if isinstance(getattr(m, "token_indices", None), dict)
    ]
    rows = {id(p) for m in layers for p in getattr(m, "trainable_tokens_delta", {}).values()}
    if any(p.requires_grad and id(p) not in rows for p in embeddings.parameters()):
        return None
    trained = [
        m.token_indices[name]
        for m in layers
        for name, delta in m.trainable_tokens_delta.items()
        if delta.requires_grad
    ]
    return tuple(sorted({int(token) for indices in trained for token in indices}))


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
