"""Ask a model: greedy and sampled replies to prompts, and the loss on texts."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteriaList

from sftdiag.probes.answers import Reply
from sftdiag.probing import guard
from sftdiag.probing.deadline import Deadline, LastStep, OutOfTimeError, Pace, now
from sftdiag.probing.prompts import Prompt, Tokens, end_tokens, user_opening_of
from sftdiag.ranges import LEAST_TEMPERATURE

BATCH = 8
"""Replies made at a time, where memory allows it."""

CACHE_SHARE = 0.01
"""Of the device memory in use, what the replies' keys and values may take beyond what an evaluation
batch takes for a layer's inner activations, which it does not need then: together they stay below
2 % of the evaluation's own peak."""

INNER_ACTIVATIONS = 3
"""Tensors of the intermediate width that a gated layer holds: gate, up and their product."""

TEXT_TOKENS = 128
"""Tokens of a text: longer ones are cut."""

LOSS_ROWS = 32
"""Positions whose logits are held in float32 at a time."""

LEAST_LABELS = 8
"""Known tokens below which a text says nothing of the model."""

SEED = 20_480
"""Of the sampled replies, so that a change between evaluations is the model's."""

MARKS = (
    *("<|im_start|>", "<|user|>", "<start_of_turn>", "[INST]", "<|start_header_id|>"),
    *("### Instruction:", "### Human:", "\nUser:", "\nHuman:"),
)
"""Openings of turns in common templates; in an answer they are never meant."""


class Asker:
    """Asks one model.

    Args:
        model: a decoder-only language model, inside :func:`guard.untouched` when it is asked.
        tokenizer: its tokenizer.
        autocast: dtype of mixed precision, or None.
        rows: of an evaluation batch, whose memory the replies may use; None for no limit.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        autocast: torch.dtype | None = None,
        rows: int | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device
        self.ends = end_tokens(model, tokenizer)
        self._pace = Pace()
        self._dtype, self._rows = autocast, rows
        self._user_opening = user_opening_of(tokenizer, self.ends)
        self._keeps_logits = "logits_to_keep" in inspect.signature(_inner(model).forward).parameters

    def replies(
        self, prompts: Sequence[Prompt], tokens: int, deadline: Deadline, *, sampled: bool
    ) -> list[Reply]:
        """Return replies to as many prompts, in order, as the time allows.

        Args:
            prompts: what to ask.
            tokens: that a reply may have.
            deadline: a batch that is not finished by then is left out.
            sampled: also sample.
        """
        known = frozenset(token for p in prompts for token in p.reference or ())
        guard.seed(self.model, SEED)
        done: list[Reply] = []
        size, longest = self._batch(prompts, tokens), 0.0
        for start in range(0, len(prompts), size):
            if deadline.left < longest:
                break
            began = now()
            try:
                done += self._batch_of_replies(
                    prompts[start : start + size], tokens, deadline, known, sampled=sampled
                )
            except OutOfTimeError:
                break
            longest = max(longest, now() - began)
        return done

    def losses(self, texts: Iterable[Tokens], deadline: Deadline) -> list[float]:
        """Return the mean loss a token, in nats, of as many texts, in order, as the time allows."""
        found: list[float] = []
        longest = 0.0
        for text in texts:
            if deadline.left < longest or not self._fits([text], deadline):
                break
            began = now()
            with self._pace.call(len(text)):
                found.append(self._loss(text))
            longest = max(longest, now() - began)
        return found

    def answer_losses(
        self, answer: Tokens, prompts: Sequence[Tokens], deadline: Deadline
    ) -> list[float] | None:
        """Return the loss of a whole answer after each prompt, in nats; None without the time."""
        found = []
        for prompt in prompts:
            row = (*prompt, *answer)
            if not self._fits([row], deadline):
                return None
            with self._pace.call(len(row)):
                logits = self._logits([row], len(answer) + 1)[0, :-1].float()
                labels = torch.tensor(answer, device=logits.device)
                loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
                found.append(float(loss))
        return found

    def is_finite(self, texts: Sequence[Tokens]) -> bool:
        """Return whether the model's output after texts of one length is a number."""
        with self._pace.call(len(texts) * len(texts[0])):
            return bool(torch.isfinite(self._logits(texts, 1)).all())

    def texts(self, texts: Iterable[str]) -> list[Tokens]:
        """Return texts as tokens, cut to :data:`TEXT_TOKENS`, without those it hardly knows."""
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        found = []
        for text in texts:
            ids = self.tokenizer(text)["input_ids"][:TEXT_TOKENS]
            if sum(token != unknown for token in ids) > LEAST_LABELS:
                found.append(tuple(ids))
        return found

    def _batch_of_replies(
        self,
        prompts: Sequence[Prompt],
        tokens: int,
        deadline: Deadline,
        known: frozenset[int],
        *,
        sampled: bool,
    ) -> list[Reply]:
        greedy = self._generate(prompts, tokens, deadline, sample=False)
        varied = self._generate(prompts, tokens, deadline, sample=True) if sampled else None
        replies = []
        longest = 0.0
        for index, prompt in enumerate(prompts):
            asked = (*prompt.ids, *(prompt.reference or ()))
            if deadline.left < longest or not self._fits([asked], deadline):
                raise OutOfTimeError
            began = now()
            reply, ended = greedy[index]
            reference = prompt.reference
            fits = bool(reference) and len(reference or ()) < tokens and prompt.ends is not None
            replies.append(
                Reply(
                    greedy=reply,
                    ended=ended,
                    sampled=varied[index][0] if varied else None,
                    marked=self._marked(reply, known),
                    reference=reference[:tokens] if reference else None,
                    fits=fits,
                    reference_ends=prompt.ends,
                    reference_marked=self._marked(reference or (), None),
                    end_probability=self._end_probability(prompt),
                )
            )
            longest = max(longest, now() - began)
        return replies

    def _generate(
        self, prompts: Sequence[Prompt], tokens: int, deadline: Deadline, *, sample: bool
    ) -> list[tuple[Tokens, bool]]:
        """Return each prompt's continuation without its end token, and whether it ended."""
        if not self._fits([prompt.ids for prompt in prompts], deadline):
            raise OutOfTimeError
        width = max(len(prompt.ids) for prompt in prompts)
        last = LastStep(deadline, self._pace.of(len(prompts)))
        pad = self.tokenizer.pad_token_id
        pad = next(iter(self.ends), 0) if pad is None else pad
        rows = [[pad] * (width - len(p.ids)) + list(p.ids) for p in prompts]
        seen = [[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in prompts]
        # All that a model's own configuration may set is set here: it is the model that is asked.
        chosen = {"temperature": LEAST_TEMPERATURE, "top_k": 0, "top_p": 1.0} if sample else {}
        configuration = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=tokens,
            min_new_tokens=0,
            do_sample=sample,
            num_beams=1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            remove_invalid_values=True,
            eos_token_id=sorted(self.ends) or None,
            pad_token_id=pad,
            use_cache=True,
            **chosen,
        )
        with self._autocast():
            output = self.model.generate(
                input_ids=torch.tensor(rows, device=self.device),
                attention_mask=torch.tensor(seen, device=self.device),
                generation_config=configuration,
                stopping_criteria=StoppingCriteriaList([last]),
            )
        replies = [self._until_end(row[width:]) for row in output.tolist()]
        whole = output.shape[1] == width + tokens or all(ended for _, ended in replies)
        if (last.cut and not whole) or deadline.left <= 0:
            raise OutOfTimeError
        return replies

    def _fits(self, rows: Sequence[Tokens], deadline: Deadline) -> bool:
        """Return whether a call on rows ends in time; in doubt calls on parts of them tell."""
        longest = max(rows, key=len)
        while deadline.left < self._pace.of(len(rows) * len(longest)):
            part = self._pace.trial(deadline.left)
            if part == 0:
                return False
            self.is_finite([longest[:part]] * max(1, part // len(longest)))
        return deadline.left > 0

    def _until_end(self, tokens: list[int]) -> tuple[Tokens, bool]:
        for index, token in enumerate(tokens):
            if token in self.ends:
                return tuple(tokens[:index]), True
        return tuple(tokens), False

    def _end_probability(self, prompt: Prompt) -> float | None:
        """Return what the model gives the end tokens where the reference answer is over."""
        if not prompt.reference or prompt.ends is None or not self.ends:
            return None
        logits = self._logits([(*prompt.ids, *prompt.reference)], 1)[0, -1].float()
        ends = torch.tensor(sorted(self.ends), device=logits.device)
        return float(torch.softmax(logits, dim=-1)[ends].sum())

    def _loss(self, text: Tokens) -> float:
        logits = self._logits([text], len(text))[0]
        labels = torch.tensor(text, device=logits.device)[1:]
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        if unknown is not None:
            labels = labels.masked_fill(labels == unknown, -100)
        total = 0.0
        for start in range(0, len(labels), LOSS_ROWS):
            part = slice(start, start + LOSS_ROWS)
            rows = logits[:-1][part].float()
            loss = torch.nn.functional.cross_entropy(rows, labels[part], reduction="sum")
            total += float(loss)
        return total / max(1, int((labels != -100).sum()))

    def _logits(self, rows: Sequence[Tokens], keep: int) -> torch.Tensor:
        """Return the logits of the last ``keep`` positions, shape (rows, keep, vocabulary)."""
        ids = torch.tensor([list(row) for row in rows], device=self.device)
        options = {"logits_to_keep": keep} if self._keeps_logits and keep < ids.shape[1] else {}
        with self._autocast():
            output = self.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **options
            )
        logits: torch.Tensor = output.logits[:, -keep:]
        return logits

    def _autocast(self) -> torch.autocast:
        on = self._dtype is not None
        return torch.autocast(self.device.type, dtype=self._dtype, enabled=on)

    def _marked(self, tokens: Tokens, known: frozenset[int] | None) -> bool:
        """Return whether tokens open a turn of the user, or are special and in no reference."""
        if known is not None:
            special = frozenset(self.tokenizer.all_special_ids) - self.ends - known
            if special.difference((self.tokenizer.pad_token_id,)).intersection(tokens):
                return True
        text = self.tokenizer.decode(list(tokens))
        marks = (*MARKS, self._user_opening) if self._user_opening else MARKS
        return any(mark in text for mark in marks)

    def _batch(self, prompts: Sequence[Prompt], tokens: int) -> int:
        """Return how many replies to make at a time, by the memory that their cache takes."""
        if self.device.type != "cuda" or not prompts or self._rows is None:
            return BATCH
        config = self.model.config.get_text_config()
        size = 2 if self._dtype is not None else next(self.model.parameters()).element_size()
        lengths = [len(p.ids) + len(p.reference or ()) for p in prompts]
        inner = getattr(config, "intermediate_size", None) or config.hidden_size
        evaluated = self._rows * sum(lengths) / len(lengths)
        allowed = CACHE_SHARE * torch.cuda.memory_allocated(self.device)
        allowed += evaluated * INNER_ACTIVATIONS * inner * size
        longest = max(len(prompt.ids) for prompt in prompts) + tokens
        return max(1, min(BATCH, int(allowed / (longest * _cached_values(config) * size))))


def _inner(model: Any) -> Any:
    """Return the model inside a PEFT wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _cached_values(config: Any) -> int:
    """Return the number of keys and values a token."""
    heads = getattr(config, "num_attention_heads", 1)
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    layers = getattr(config, "num_hidden_layers", 1)
    return int(2 * layers * kept * width)
