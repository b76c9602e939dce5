"""What a template writes around turns, learned from examples it renders."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

templates = pytest.importorskip("templates", reason="needs the extra trainer")

from transformers import AutoTokenizer  # noqa: E402

from sftdiag.checks.base import Inputs  # noqa: E402
from sftdiag.checks.empty_answers import EmptyAnswersCheck  # noqa: E402
from sftdiag.checks.end_of_turn_untrained import EndOfTurnUntrainedCheck  # noqa: E402
from sftdiag.checks.packing_without_boundaries import (  # noqa: E402
    PackingWithoutBoundariesCheck,
)
from sftdiag.checks.prompt_trained import PromptTrainedCheck  # noqa: E402
from sftdiag.checks.template_mismatch import TemplateMismatchCheck  # noqa: E402
from sftdiag.observations import Skip  # noqa: E402
from sftdiag.rows import tokenization  # noqa: E402
from sftdiag.samples import Sample, Split  # noqa: E402

KINDS: dict[str, tuple[Any, str | None, list[str]]] = {
    "ChatML": (templates.tokenizer(templates.CHATML), "<|im_end|>", ["<|im_end|>"]),
    "a system prompt of its own; bos opens every turn, pad is eos": (
        templates.tokenizer(templates.DEFAULT_SYSTEM, bos="<|im_start|>", pad="<|im_end|>"),
        "<|im_end|>",
        ["<|im_end|>"],
    ),
    "eos is not what ends a turn; always a header": (
        templates.tokenizer(templates.ALWAYS_HEADER, bos="<s>", eos="</s>"), "<|eot|>", ["<|eot|>"]
    ),
    "bos before each question": (
        templates.tokenizer(templates.BEGIN_EACH_TURN, bos="<s>", eos="</s>"), "</s>", ["</s>"]
    ),
    "a line break ends a reply": (templates.tokenizer(templates.NEWLINE), None, []),
    "nothing ends a reply": (templates.tokenizer(templates.NOTHING), None, []),
    "another end for the last reply": (
        templates.tokenizer(templates.LAST_END, eos="</s>"), "<|im_end|>", ["<|im_end|>", "</s>"]
    ),
    "no header after a tool's result": (
        templates.tokenizer(templates.BARE_REPLY, bos="<s>", eos="</s>"), "</s>", ["</s>"]
    ),
}  # fmt: skip
"""Name to a tokenizer, the token that ends a reply, and all such tokens."""

each = pytest.mark.parametrize("kind", KINDS)


@each
def test_the_ends_of_replies(kind: str) -> None:
    known, end, ends = KINDS[kind]
    read = tokenization.read(known)
    assert known.convert_ids_to_tokens(list(read.turns.ends)) == ends
    assert (read.end_of_turn is None) == (end is None)
    assert end is None or known.convert_ids_to_tokens(read.end_of_turn) == end


@each
def test_replies_are_found_in_conversations_of_any_length(kind: str) -> None:
    known, _, _ = KINDS[kind]
    read = tokenization.read(known)
    draw = random.Random(kind)
    words = ["a jar", "why?", "12 lamps.", "yes\nno", "(of course)", "the assistant's"]
    for turns in (1, 2, 5):
        said = [draw.choice(words) + str(i) for i in range(2 * turns)]
        ids = tuple(known.apply_chat_template(templates.talk(*said), return_dict=True)["input_ids"])
        found = [known.decode(ids[start:end]).strip() for start, end in read.answers(ids)]
        assert found == said[1::2]


@each
def test_a_conversation_is_one_text(kind: str) -> None:
    """What begins and ends turns separates no texts; what stands at the ends alone does."""
    known, _, _ = KINDS[kind]
    read = tokenization.read(known)
    ids = known.apply_chat_template(templates.talk(*"abcdef"), return_dict=True)["input_ids"]
    inner = ids[1 : 1 + max(i for i, token in enumerate(ids[1:-1]) if token not in read.stops)]
    assert read.separators.isdisjoint(inner)


def test_a_token_that_conversations_begin_with_separates_texts() -> None:
    read = tokenization.read(templates.tokenizer(templates.ALWAYS_HEADER, bos="<s>", eos="</s>"))
    assert len(read.separators) == 2


def ids_of(known: Any, *talks: list[dict[str, str]]) -> tuple[int, ...]:
    return tuple(
        token
        for talk in talks
        for token in known.apply_chat_template(talk, return_dict=True)["input_ids"]
    )


def packed(known: Any, *talks: list[dict[str, str]]) -> list[str]:
    """Return what is said of a row of such conversations, put together by hand."""
    ids = ids_of(known, *talks)
    rows = Split("train", (Sample(ids, ids),), 1)
    found = PackingWithoutBoundariesCheck().look(
        Inputs(train=rows, tokenization=tokenization.read(known))
    )
    assert not isinstance(found, Skip)
    return [one.code for one in found]


OF_TURNS = KINDS["a system prompt of its own; bos opens every turn, pad is eos"][0]


def system(said: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": said}]


def test_conversations_put_together_are_told_by_the_system_prompt_that_begins_again() -> None:
    one, two = templates.talk("a", "b"), templates.talk("c", "d", "e", "f")
    assert packed(OF_TURNS, one, two) == ["SFT412"]
    assert packed(OF_TURNS, system("Be kind") + one, system("Be kind") + two) == ["SFT412"]
    assert packed(OF_TURNS, one) == packed(OF_TURNS, two) == []


def test_a_system_message_within_a_conversation_begins_no_other() -> None:
    talk = templates.talk("a", "b", "c", "d")
    assert (
        packed(OF_TURNS, system("Be kind") + talk[:2] + system("It is noon now") + talk[2:]) == []
    )
    assert packed(OF_TURNS, talk[:2] + system("You help with what comes") + talk[2:]) == []


def test_templates_without_a_system_prompt_tell_nothing() -> None:
    known = templates.tokenizer(templates.CHATML)
    assert packed(known, templates.talk("a", "b"), templates.talk("c", "d")) == []
    assert tokenization.read(templates.tokenizer(templates.BEGIN_EACH_TURN)).turns.system == ()


@each
def test_a_template_that_was_applied_to_its_own_text_is_told_as_that(kind: str) -> None:
    known, _, _ = KINDS[kind]
    read = tokenization.read(known)

    def told(*talks: list[dict[str, str]]) -> list[str | None]:
        rows = []
        for talk in talks:
            ids = ids_of(known, talk)
            rows.append(
                Sample(ids, (*(-100 for _ in ids[3:]), *ids[-3:]), answers=read.answers(ids))
            )
        inputs = Inputs(train=Split("train", tuple(rows), len(rows)), tokenization=read)
        checks = (TemplateMismatchCheck(), EmptyAnswersCheck(), PackingWithoutBoundariesCheck())
        found = (check.look(inputs) for check in checks)
        return [one.variant for seen in found if not isinstance(seen, Skip) for one in seen]

    said = [(f"what is jar {i}?", f"a lamp {i}") for i in range(8)]
    asked = [
        known.apply_chat_template(templates.talk(a), tokenize=False, add_generation_prompt=True)
        for a, _ in said
    ]
    whole = [known.apply_chat_template(templates.talk(*pair), tokenize=False) for pair in said]
    once = [templates.talk(*pair) for pair in said]
    assert told(*once) == []
    assert told(*(templates.talk(a, b, a, b) for a, b in said)) == []
    assert told(*(templates.talk("", b, a, b) for a, b in said)) == []
    assert told(*(templates.talk(a, b) for a, (_, b) in zip(asked, said, strict=True))) == ["twice"]
    assert told(*(templates.talk(a, b) for a, (_, b) in zip(whole, said, strict=True))) == ["twice"]
    answered = [templates.talk(a, read_reply(known) + b) for a, b in said]
    assert told(*answered, *once) == ["twice"]


def read_reply(known: Any) -> str:
    """Return what a template writes before a reply, as text."""
    return str(known.decode(list(tokenization.read(known).reply_opening)))


@pytest.mark.parametrize("size", [31, 71, 90])
def test_the_end_of_a_reply_that_began_in_another_row_is_no_prompt(size: int) -> None:
    known, _, _ = KINDS["ChatML"]
    read = tokenization.read(known)
    ids: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    for i in range(40):
        talk = templates.talk(f"what is lamp {i} for?", f"for the {i} jars of the den " * (i % 3))
        text = known.apply_chat_template(talk[:1], tokenize=False, add_generation_prompt=True)
        asked, whole = known(text, add_special_tokens=False)["input_ids"], ids_of(known, talk)
        ids += whole
        labels += (*(-100 for _ in asked), *whole[len(asked) :])

    def told(labels: tuple[int, ...]) -> list[str]:
        cuts = range(0, len(ids), size)
        parts = [(ids[i : i + size], labels[i : i + size]) for i in cuts]
        rows = [Sample(*part, answers=read.answers(part[0])) for part in parts]
        train = Split("train", tuple(rows), len(rows))
        found = PromptTrainedCheck().look(Inputs(train=train, tokenization=read))
        return [one.code for one in found] if not isinstance(found, Skip) else ["not judged"]

    assert told(labels) == []
    assert told(ids) == ["SFT405"]


def test_a_header_that_is_always_written_is_neither_a_prompt_nor_an_empty_answer() -> None:
    known, _, _ = KINDS["eos is not what ends a turn; always a header"]
    read = tokenization.read(known)
    asked = ids_of(known, templates.talk("a")[:1])
    ids = ids_of(known, templates.talk("a", "b"))
    for whole in (ids, (*ids, known.eos_token_id)):
        labels = (*(-100 for _ in asked), *whole[len(asked) :])
        row = Sample(whole, labels, answers=read.answers(whole))
        rows = Split("train", (row,) * 20, 20)
        seen = {
            found.code: found.variant
            for check in (PromptTrainedCheck(), EmptyAnswersCheck(), EndOfTurnUntrainedCheck())
            for found in check.look(Inputs(train=rows, tokenization=read))
        }
        assert seen == {"SFT406": "goes_on"}


def test_a_header_that_is_always_written() -> None:
    known, _, _ = KINDS["eos is not what ends a turn; always a header"]
    read = tokenization.read(known)
    assert known.decode(list(read.turns.header_after)) == "<|head|>assistant<|tail|>\n\n"
    others = (
        tokenization.read(known) for name, (known, _, _) in KINDS.items() if "always" not in name
    )
    assert not any(other.turns.header_after for other in others)


@pytest.mark.parametrize("template", [None, templates.RAISES, templates.BROKEN])
def test_a_template_that_renders_nothing_is_not_known(template: str | None) -> None:
    read = tokenization.read(templates.tokenizer(template))
    assert not read.turns.learned
    assert read.answers((1, 2, 3)) == ()
    assert read.has_template == (template is not None)


def test_a_template_that_only_marks_replies_is_the_saved_one(tmp_path: Path) -> None:
    known = templates.tokenizer(templates.CHATML)
    known.save_pretrained(tmp_path)
    known = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenization.read(known).differs_from_saved is False
    for changed, differs in (
        ("{% generation %}" + templates.SAID + "{% endgeneration %}", False),
        (templates.SAID + "!", True),
        ("{{ m['contents'] }}", True),
        ("{{ raise_exception('no') }}", True),
    ):
        known.chat_template = templates.CHATML.replace(templates.SAID, changed)
        assert known.chat_template != templates.CHATML
        assert tokenization.read(known).differs_from_saved is differs
