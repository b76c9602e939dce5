"""Answers that slipped by a row are found; sets that only look so are left alone.

Rows are questions about functions of Python's standard library, answered by their documentation,
as tokens of a BPE tokenizer made on the spot.
"""

from __future__ import annotations

import codecs
import importlib
import inspect
import itertools
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest

from sftdiag.checks import Inputs
from sftdiag.checks.answers_of_other_rows import AnswersOfOtherRowsCheck
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.guide import preflight
from sftdiag.observations import Observation, Skip
from sftdiag.samples import IGNORE_INDEX, Sample, Split
from sftdiag.trainer.places import paired

tokenizers = pytest.importorskip("tokenizers", reason="needs the extra trainer")

Pair = tuple[str, str]
Make = Callable[[list[Pair], random.Random], list[Pair]]

MODULES = """
argparse ast asyncio bisect calendar codecs collections configparser contextlib csv datetime decimal
difflib dis email email.message enum fractions ftplib functools gzip heapq html http.client
http.cookies imaplib inspect io ipaddress itertools json locale logging lzma mailbox math mimetypes
multiprocessing operator os os.path pathlib pickle platform plistlib pprint queue random re sched
secrets selectors shelve shlex shutil smtplib socket sqlite3 ssl statistics string struct subprocess
symtable tarfile tempfile textwrap threading time timeit tokenize trace types unicodedata unittest
urllib.parse urllib.request uuid warnings wave weakref xml.dom.minidom xml.etree.ElementTree zipfile
zlib
"""


def documented(module: Any) -> dict[str, str]:
    """Return names to the first sentence of their documentation."""
    found = {}
    for name, thing in vars(module).items():
        if name.startswith("_") or not callable(thing):
            continue
        members = [(name, thing)]
        if inspect.isclass(thing):
            members += [(f"{name}.{n}", t) for n, t in vars(thing).items() if n[0] != "_"]
        for path, member in members:
            sentence = " ".join((inspect.getdoc(member) or "").split()).partition(". ")[0]
            if 30 < len(sentence) < 250:
                found.setdefault(sentence, path)
    return {path: sentence for sentence, path in found.items()}


@cache
def library() -> list[Pair]:
    """Return questions and answers in the order of the modules."""
    pairs: dict[str, Pair] = {}
    for name in MODULES.split():
        for path, sentence in documented(importlib.import_module(name)).items():
            pairs.setdefault(sentence, (f"What is {name}.{path} for in Python?", sentence))
    return list(pairs.values())


@cache
def tokenizer() -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=6000, special_tokens=["<|user|>", "<|assistant|>", "<|end|>"]
    )
    made.train_from_iterator([text for pair in library() for text in pair], trainer)
    return made


def sample(asked: str, said: str, *, known: bool = True) -> Sample:
    prompt = tokenizer().encode(f"<|user|>\n{asked}<|end|>\n<|assistant|>\n").ids
    answer = tokenizer().encode(said).ids
    ids = (*prompt, *answer, tokenizer().token_to_id("<|end|>"))
    labels = (*(IGNORE_INDEX for _ in prompt), *ids[len(prompt) :])
    spans = ((len(prompt), len(ids) - 1),) if known else None
    return Sample(ids, labels, answers=spans)


def split(pairs: Sequence[Pair], *, known: bool = True, full: bool = False) -> Split:
    places = range(len(pairs)) if full else paired(len(pairs))
    rows = tuple(sample(*pairs[place], known=known) for place in places)
    return Split("train", rows, len(pairs), places=tuple(places))


def look(seen: Split) -> list[Observation]:
    found = AnswersOfOtherRowsCheck().look(Inputs(train=seen))
    return [] if isinstance(found, Skip) else list(found)


def mixed(draw: random.Random, count: int) -> list[Pair]:
    return draw.sample(library(), count)


def slipped(pairs: Sequence[Pair], by: int) -> list[Pair]:
    """Return the questions, each with the answer of the row ``by`` places further on."""
    answers = [said for _, said in pairs]
    return [
        (asked, said) for (asked, _), said in zip(pairs, answers[by:] + answers[:by], strict=True)
    ]


def test_the_library_has_enough_to_ask() -> None:
    assert len(library()) > 800


@pytest.mark.parametrize("count", [120, 250, 700])
@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("seed", range(3))
def test_a_slip_is_found(count: int, by: int, seed: int) -> None:
    pairs = slipped(mixed(random.Random(seed), count), by)
    seen = split(pairs)
    (found,) = look(seen)
    # A question whose answer moved a row up finds it in the previous row.
    variant = "previous" if by == 1 else "next"
    # Prompts that take up the last answer look so, too.
    severity = Severity.WARNING if by == 1 else Severity.ERROR
    assert (found.severity, found.cause, found.variant) == (severity, "poor-data", variant)
    assert found.evidence["rows"] >= 20
    assert found.evidence["own"] <= 9
    place = seen.places[found.example]
    assert pairs[place - by][1] == library_answer(pairs[place][0])


def library_answer(asked: str) -> str:
    return dict(library())[asked]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_numbers_stand_in_the_sentence(lang: str) -> None:
    (found,) = look(split(slipped(mixed(random.Random(0), 700), 1)))
    told = preflight.message(found, lang)
    assert str(found.evidence["rows"]) in told
    assert "128" in told
    assert "2.6" in told


def test_labels_tell_the_answer_where_nothing_else_does() -> None:
    pairs = mixed(random.Random(1), 300)
    assert look(split(slipped(pairs, 1), known=False))
    assert look(split(pairs, known=False)) == []


def test_every_row_looked_at() -> None:
    pairs = mixed(random.Random(2), 800)
    (found,) = look(split(slipped(pairs, 1), full=True))
    assert found.evidence["seen"] <= 512
    assert look(split(pairs, full=True)) == []


def test_an_evaluation_set_is_looked_at_too() -> None:
    pairs = mixed(random.Random(3), 400)
    wrong = split(slipped(pairs[200:], 1)).replace(name="eval")
    inputs = Inputs(train=split(pairs[:200]), evaluations=(wrong,))
    (found,) = AnswersOfOtherRowsCheck().look(inputs)
    assert found.series == "eval"


@pytest.mark.parametrize("seed", range(10))
def test_healthy_questions(seed: int) -> None:
    draw = random.Random(seed)
    assert look(split(mixed(draw, draw.choice([60, 128, 256, 500, 800])))) == []


def sorted_by_topic(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    return library()[:700]


def chapters(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    """Four rows of each topic, whose answers speak of the topic and hardly of the question."""
    made = []
    for topic, _ in pairs[:200]:
        word = topic.split()[2]
        made += [(f"{word}: {draw.choice('abc')}{i}", f"It belongs to {word}.") for i in range(4)]
    return made


def constant(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    return [("Write a sentence about Python.", said) for _, said in pairs]


def labels(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    kinds = ("class", "function", "method", "module")
    return [(f"Which kind is this? {said}", draw.choice(kinds)) for _, said in pairs]


def labels_in_turn(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    words = [asked.split()[2] for asked, _ in pairs[:40]]
    return [(f"Which of {len(words)}? {said}", words[i % 40]) for i, (_, said) in enumerate(pairs)]


def translation(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    return [(f"Translate: {said}", codecs.encode(said, "rot13").upper()) for _, said in pairs]


def both_ways(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    there = translation(pairs, draw)
    return [
        row
        for asked, said in there
        for row in ((asked, said), (f"Translate back: {said}", asked.partition(": ")[2]))
    ]


def one_side_of_both_ways(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    return both_ways(pairs, draw)[1:] + both_ways(pairs, draw)[:1]


def utterances(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    """Each utterance answers the one before and is answered by the next; none shares its words."""
    said = [answer for _, answer in pairs]
    return list(itertools.pairwise(said))


def history(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    """Dialogues of four replies, each asked for with all that was said before."""
    made = []
    for first in range(0, len(pairs) - 3, 4):
        told = ""
        for asked, said in pairs[first : first + 4]:
            made.append((told + asked, said))
            told += f"{asked} {said} "
    return made


def last_reply(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    """The prompt quotes the last reply, and the answers follow from nothing that is said."""
    said = [answer for _, answer in pairs]
    return [
        (f"{before} And {draw.randrange(999)}?", answer)
        for before, answer in itertools.pairwise(said)
    ]


def follow_up(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    """A dialogue over rows: each question takes up the last answer, too."""
    made = []
    for (_, before), (asked, said) in itertools.pairwise(pairs):
        words = before.split()
        made.append((f"So it {' '.join(words[: len(words) // 2])}? {asked}", said))
    return made


def small_talk(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    """Dialogues whose short replies follow from nothing, asked for with all that was said."""
    words = [said.split() for _, said in pairs]
    made, told = [], ""
    for i, spoken in enumerate(words):
        told = told if i % 6 else ""
        reply = " ".join(draw.choice(words)[:4])
        told += " ".join(spoken[:6]) + ". "
        made.append((told, reply))
        told += f"{reply}. "
    return made


def partly_quoted(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    """Utterances that say the last one again, some of them the half of it."""
    chain = utterances(pairs, draw)
    return [
        (asked[: len(asked) // 2] if draw.random() < 0.4 else asked, said) for asked, said in chain
    ]


def counterparts(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    """Each row asks for what the next one asks about, and the other way round."""
    told = [(asked.split()[2], said) for asked, said in pairs]
    return [
        (f"What goes with {name}?", f"{other}: {said}")
        for one, two in zip(told[::2], told[1::2], strict=False)
        for (name, _), (other, said) in ((one, two), (two, one))
    ]


def counting(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    return [(f"What comes after {i}?", str(i + 1)) for i in range(3000, 3700)]


def windows(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    series = [draw.randrange(10_000) for _ in range(700)]
    return [
        (f"Go on: {' '.join(map(str, series[i : i + 8]))}", str(series[i + 8])) for i in range(690)
    ]


def twice(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    return [pair for pair in pairs for _ in (0, 1)]


def two_answers(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    return [
        row
        for (asked, said), (_, other) in itertools.pairwise(pairs)
        for row in ((asked, said), (asked, other))
    ]


def unrelated(pairs: list[Pair], draw: random.Random) -> list[Pair]:
    answers = [said for _, said in pairs]
    draw.shuffle(answers)
    return [(asked, said) for (asked, _), said in zip(pairs, answers, strict=True)]


HEALTHY: tuple[Make, ...] = (
    sorted_by_topic,
    chapters,
    constant,
    labels,
    labels_in_turn,
    translation,
    both_ways,
    one_side_of_both_ways,
    utterances,
    history,
    last_reply,
    follow_up,
    small_talk,
    partly_quoted,
    counterparts,
    counting,
    windows,
    twice,
    two_answers,
    unrelated,
)


@pytest.mark.parametrize("make", HEALTHY, ids=lambda make: make.__name__)
@pytest.mark.parametrize("count", [120, 700])
@pytest.mark.parametrize("backwards", [False, True])
def test_what_only_looks_so(make: Make, count: int, backwards: bool) -> None:
    for seed in range(3):
        draw = random.Random(seed)
        rows = make(mixed(draw, count), draw)
        assert look(split(rows[::-1] if backwards else rows)) == []


def told(count: int, draw: random.Random) -> list[Pair]:
    """Questions whose answers take up their words, as people's do."""
    drawn = draw.sample(library(), 2 * count)
    return [
        (f"Where is {one.split()[2]}?", f"{one.split()[2]} is beside {two.split()[2]}: {said}")
        for (one, _), (two, said) in zip(drawn[::2], drawn[1::2], strict=True)
    ]


def characters(pairs: Sequence[Pair]) -> Split:
    """Rows of a tokenizer whose every token is a byte."""

    def row(asked: str, said: str) -> Sample:
        ids = (256, *asked.encode(), 257, *said.encode(), 258)
        return Sample(ids, ids, answers=((len(asked.encode()) + 2, len(ids) - 1),))

    samples = tuple(row(*pair) for pair in pairs)
    return Split("train", samples, len(pairs), places=tuple(range(len(pairs))))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [split, characters])
def test_shuffled_answers_are_found_where_they_share_words(
    make: Callable[[Sequence[Pair]], Split], seed: int
) -> None:
    draw = random.Random(seed)
    pairs = told(200, draw)
    assert look(make(pairs)) == []
    (found,) = look(make(unrelated(pairs, draw)))
    assert (found.severity, found.variant) == (Severity.WARNING, "elsewhere")
    assert found.evidence["rows"] >= 40


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by", [1, -1])
def test_a_slip_of_characters_is_found(by: int, seed: int) -> None:
    pairs = told(200, random.Random(seed))
    (found,) = look(characters(slipped(pairs, by)))
    assert found.variant == ("previous" if by == 1 else "next")
    assert found.evidence["rows"] >= 100


@pytest.mark.parametrize("make", HEALTHY, ids=lambda make: make.__name__)
def test_what_only_looks_so_in_any_order(make: Make) -> None:
    for seed in range(3):
        draw = random.Random(seed)
        rows = make(mixed(draw, 250), draw)
        draw.shuffle(rows)
        assert look(split(rows[:256])) == []
        assert look(characters(rows[:256])) == []


@pytest.mark.parametrize("make", [labels, constant, unrelated])
def test_no_words_in_common_is_not_judged(make: Make) -> None:
    draw = random.Random(6)
    found = AnswersOfOtherRowsCheck().look(Inputs(train=split(make(mixed(draw, 300), draw))))
    assert found == Skip("no_shared_words")


def asked_again(draw: random.Random, right: float, kinds: int, prompts: int = 60) -> Split:
    """Return 240 rows of these prompts, which come again; this share has its prompt's label."""
    asked = [said for _, said in draw.sample(library(), prompts)]
    labels = [["yes", "no", "maybe", "never", "often", "rarely"][i % kinds] for i in range(prompts)]
    rows = []
    for _ in range(240):
        which = draw.randrange(prompts)
        other = draw.choice(labels)
        rows.append(
            (f"Which is it? {asked[which]}", labels[which] if draw.random() < right else other)
        )
    return split(rows, full=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kinds", [2, 4, 6])
def test_labels_of_prompts_that_come_again(kinds: int, seed: int) -> None:
    """They agree where they are their own; drawn blindly they do not; in between is not judged."""
    draw = random.Random(seed)
    check = AnswersOfOtherRowsCheck()
    assert check.look(Inputs(train=asked_again(draw, 1.0, kinds))) == ()
    (found,) = look(asked_again(draw, 0.0, kinds))
    assert (found.variant, found.severity.label) == ("blind", "warning")
    assert abs(found.evidence["agree"] - found.evidence["chance"]) < 30
    assert "they do not depend on the prompts" in preflight.message(found, "en")
    unsure = check.look(Inputs(train=asked_again(draw, 0.7, kinds)))
    assert unsure == Skip("no_shared_words")


@pytest.mark.parametrize("prompts", [1, 5, 4000])
def test_prompts_that_come_too_seldom_or_are_one_say_nothing(prompts: int) -> None:
    draw = random.Random(3)
    rows = asked_again(draw, 0.0, 4, min(prompts, 800))
    assert AnswersOfOtherRowsCheck().look(Inputs(train=rows)) == Skip("no_shared_words")


def test_texts_that_answer_one_prompt_differ_and_nothing_is_wrong() -> None:
    draw = random.Random(4)
    asked = [said for _, said in draw.sample(library(), 40)]
    texts = [codecs.encode(said, "rot13").upper() for _, said in draw.sample(library(), 240)]
    rows = [(f"Tell me more. {draw.choice(asked)}", said) for said in texts]
    assert look(split(rows, full=True)) == []


def test_half_of_the_rows_are_right() -> None:
    """Where the answers slipped in the middle, their own ones still match before it."""
    pairs = mixed(random.Random(4), 600)
    assert look(split(pairs[:300] + slipped(pairs[300:], 1))) == []


def test_some_are_right_and_some_slipped() -> None:
    """Own answers that hardly stand out still speak against a slip of a few."""

    def row(i: int, told: int) -> Sample:
        ids = (1000 + i, 7, told, 3000 + i, 5000 + i)
        return Sample(ids, ids, answers=((2, 5),))

    def rows(right: int) -> Split:
        told = [1000 + i if i < right else 999 + i if 20 <= i < 42 else 9000 for i in range(200)]
        samples = tuple(row(i, said) for i, said in enumerate(told))
        return Split("train", samples, 200, places=tuple(range(200)))

    assert look(rows(right=11)) == []
    (found,) = look(rows(right=0))
    assert found.evidence["rows"] == 22


def test_when_it_cannot_judge() -> None:
    seen = split(mixed(random.Random(5), 100))
    prose = tuple(row.replace(answers=None, labels=row.input_ids) for row in seen.samples)

    def why(inputs: Inputs) -> str:
        found = AnswersOfOtherRowsCheck().look(inputs)
        assert isinstance(found, Skip)
        return found.key

    assert why(Inputs(RunContext(packing=True), seen)) == "packed_replies"
    assert why(Inputs(train=seen.replace(places=None))) == "no_places"
    assert why(Inputs(train=seen.replace(samples=prose))) == "no_replies"
    assert why(Inputs(train=split(mixed(random.Random(5), 40)))) == "few_rows"
