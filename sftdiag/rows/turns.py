"""What a chat template writes around a turn, learned by rendering example conversations.

Nothing is guessed from one token: the begin token may open every turn, the end token may be the
padding or not be what ends a turn, and a template may write no mark at an end at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sftdiag.rows.styles import style_of
from sftdiag.turns import Marks, Turns

WORDS = ("sftdiagone", "sftdiagtwo", "sftdiagthree", "sftdiagfour")
"""Stand for the texts of a conversation; no template contains them."""

SYSTEM, RESULT, CALL = "sftdiagzero", "sftdiagfive", "sftdiagsix"


class Learned(NamedTuple):
    """The mark that opens a reply, the token that ends one, and the rest of what is known."""

    opening: tuple[int, ...] = ()
    end: int | None = None
    turns: Turns = Turns()


class Rendered(NamedTuple):
    """A rendered conversation: its text, and where each of its words stands."""

    text: str
    places: tuple[tuple[int, int], ...]

    def between(self, first: int) -> tuple[int, int]:
        """Return the part between a word and the next."""
        return self.places[first][1], self.places[first + 1][0]

    def cut(self, part: tuple[int, int]) -> str:
        """Return a part of the text."""
        return self.text[part[0] : part[1]]


def conversation(system: bool = False) -> list[dict[str, Any]]:
    """Return two turns of words that no template contains."""
    roles = ("user", "assistant") * 2
    turns = [{"role": role, "content": word} for role, word in zip(roles, WORDS, strict=True)]
    return [{"role": "system", "content": SYSTEM}, *turns] if system else turns


def learn(tokenizer: Any, template: str, eos: tuple[int, ...]) -> Learned:
    """Return what a template writes around turns; nothing where it renders no example."""
    for messages in (conversation(), conversation()[:2]):
        whole = render(tokenizer, template, messages, WORDS[: len(messages)])
        if whole is not None:
            return _Lesson(tokenizer, template, eos, whole).learned()
    return Learned()


def render(
    tokenizer: Any, template: str, messages: list[dict[str, Any]], words: Iterable[str], **more: Any
) -> Rendered | None:
    """Return a rendered conversation; None where it fails or does not hold each word in turn."""
    for content in (str, lambda word: [{"type": "text", "text": word}]):
        given = [
            {**m, "content": content(m["content"])} if m.get("content") else m for m in messages
        ]
        try:
            text = str(
                tokenizer.apply_chat_template(given, chat_template=template, tokenize=False, **more)
            )
        except Exception:
            continue
        places = [(text.find(word), text.find(word) + len(word)) for word in words]
        if all(start >= 0 for start, _ in places) and places == sorted(places):
            return Rendered(text, tuple(places))
    return None


def alike(tokenizer: Any, first: str, second: str) -> bool:
    """Return whether two templates write the same around example conversations."""

    def written(template: str) -> list[str | None]:
        asked = [(c, more) for c in (conversation(), conversation(True)) for more in (False, True)]
        shown = [
            render(tokenizer, template, c, [t["content"] for t in c], add_generation_prompt=more)
            for c, more in asked
        ]
        return [found.text if found is not None else None for found in shown]

    one = written(first)
    return one[0] is not None and one == written(second)


class _Lesson:
    """Reads a rendered conversation of one or two turns."""

    def __init__(
        self, tokenizer: Any, template: str, eos: tuple[int, ...], whole: Rendered
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._whole = whole
        special = {*eos, *getattr(tokenizer, "all_special_ids", ()), *_added(tokenizer)}
        self._special = {token for token in special if tokenizer.decode([token]).strip()}
        self._blanks: set[int] = set()
        self._ids = _tokens(tokenizer, whole.text, 0, len(whole.text))

    def learned(self) -> Learned:
        whole = self._whole
        two = len(whole.places) == len(WORDS)
        end = len(whole.text)
        last = whole.places[-1][1]
        tail, header = self._header(whole.text[last:])
        opening = self._reply_opening(header)
        between = whole.cut(whole.between(1)) if two else ""
        closing = self._closing(between, tail) if two else tail
        mid = whole.places[1][1]
        ends = [self._mark(whole.text, mid, mid + len(closing))] if two else []
        ends.append(self._mark(whole.text, last, last + len(tail)))
        others = [self._piece(whole, mid + len(closing), whole.between(1)[1])] if two else []
        system = self._system()
        others.append(system)
        found = [token for token in ends if token is not None]
        return Learned(
            opening,
            found[0] if found else None,
            Turns(
                tuple(
                    mark
                    for mark in self._after_tool()
                    if not _holds(mark, opening) and not set(mark) <= {*found}
                ),
                tuple(dict.fromkeys(mark for mark in others if mark and mark != opening)),
                tuple(dict.fromkeys(found)),
                tuple(sorted(self._blanks)),
                self._inside(last) if two else tuple(sorted(set(self._ids) & self._special)),
                _tokens(self._tokenizer, whole.text, end - len(header), end) if header else (),
                self._begins(),
                style_of(whole.text),
                True,
                system if system not in (opening, others[0]) else (),
            ),
        )

    def _header(self, after: str) -> tuple[str, str]:
        """Return what follows the last reply in two: its end, and the mark of another reply.

        A template that is asked for a reply and writes no more than unasked, and the same behind an
        answer as behind a question, writes the mark always.
        """
        asked = self._asked()
        if not asked.strip() or asked != self._asked(add_generation_prompt=True):
            return after, ""
        shared = _common(after[::-1], asked[::-1])[::-1]
        header = shared
        if shared == after:
            header = shared[len(self._first_closing(shared)) :]
        else:
            # What is shared may begin within a token's name.
            starts = [place for place in range(len(shared)) if self._first_closing(shared[place:])]
            header = shared[starts[0] :] if starts else ""
        return (after[: len(after) - len(header)], header) if header.strip() else (after, "")

    def _asked(self, **more: Any) -> str:
        """Return what follows a question that has no answer yet."""
        asked = render(self._tokenizer, self._template, conversation()[:1], WORDS[:1], **more)
        return asked.text[asked.places[0][1] :] if asked is not None else ""

    def _reply_opening(self, header: str) -> tuple[int, ...]:
        """Return the mark between a question and the reply.

        Where the template is asked for a reply it may write less than before one that is there: the
        rest is then the model's to say.
        """
        part = self._whole.between(0)
        before = self._whole.cut(part)
        asked = self._asked()
        closing = _common(before, asked[: len(asked) - len(header)])
        mark = before[len(closing) :]
        if not mark.strip():
            closing, mark = "", before
        prompt = self._asked(add_generation_prompt=True)[len(closing) :]
        shared = _common(mark, prompt)
        if len(self._whole.places) == len(WORDS):
            shared = _common(shared, self._whole.cut(self._whole.between(2))[len(closing) :])
        start = part[0] + len(closing)
        end = start + len(shared) if shared.strip() else part[1]
        return self._piece(self._whole, start, end)

    def _closing(self, between: str, tail: str) -> str:
        """Return what ends a reply within a conversation."""
        common = _common(between, tail)
        ids = _tokens(self._tokenizer, common, 0, len(common))
        if common and (tail == common or not self._special.isdisjoint(ids)):
            return common
        first = self._whole.text[: self._whole.places[0][0]]
        rest = between[: len(between) - len(_common(between[::-1], first[::-1]))]
        if rest.strip() or not tail.strip():
            return rest
        return self._first_closing(between)

    def _first_closing(self, text: str) -> str:
        """Return what a part begins with: a special token, and white space beside it."""
        ids = _tokens(self._tokenizer, text, 0, len(text))
        names = [str(self._tokenizer.convert_ids_to_tokens(t)) for t in ids if t in self._special]
        bare = text.lstrip()
        name = next((name for name in names if name and bare.startswith(name)), "")
        rest = bare[len(name) :].lstrip()
        return text[: len(text) - len(rest)]

    def _mark(self, text: str, start: int, end: int) -> int | None:
        """Return the first special token of a part of the text, or None."""
        ids = self._part(text, start, end)
        return next((token for token in ids if token in self._special), None)

    def _piece(self, rendered: Rendered, start: int, end: int) -> tuple[int, ...]:
        """Return the tokens of a part, without the blank ones at its ends."""
        ids = list(self._part(rendered.text, start, end))
        while ids and ids[0] in self._blanks:
            ids.pop(0)
        while ids and ids[-1] in self._blanks:
            ids.pop()
        return tuple(ids)

    def _part(self, text: str, start: int, end: int) -> tuple[int, ...]:
        ids = _tokens(self._tokenizer, text, start, end)
        for token in set(ids) - self._special:
            if not self._tokenizer.decode([token]).strip():
                self._blanks.add(token)
        return ids

    def _system(self) -> tuple[int, ...]:
        """Return the mark that opens a system message; nothing where it has none of its own."""
        words = (SYSTEM, *WORDS)
        whole = render(self._tokenizer, self._template, conversation(system=True), words)
        if whole is None:
            return ()
        ids = self._piece(whole, 0, whole.places[0][0])
        bos = self._tokenizer.bos_token_id
        # The mark of a user's turn follows it, or the system message is a part of that turn.
        user = self._piece(whole, *whole.between(0))
        if not user:
            return ()
        return ids[1:] if ids[:1] == (bos,) and bos not in self._ids[1:] else ids

    def _after_tool(self) -> Marks:
        """Return what stands between a tool's result and the reply."""
        for arguments in ({"a": 1}, '{"a": 1}'):
            for content in ({"content": ""}, {}):
                call = {"type": "function", "function": {"name": CALL, "arguments": arguments}}
                messages = [
                    *conversation()[:1],
                    {"role": "assistant", "tool_calls": [{"id": "abcdefghi", **call}], **content},
                    {"role": "tool", "name": CALL, "tool_call_id": "abcdefghi", "content": RESULT},
                    {"role": "assistant", "content": WORDS[1]},
                ]
                words = (WORDS[0], RESULT, WORDS[1])
                whole = render(self._tokenizer, self._template, messages, words)
                if whole is not None:
                    return (self._piece(whole, *whole.between(1)),)
        return ()

    def _inside(self, last: int) -> tuple[int, ...]:
        """Return the special tokens behind the first one and before the end of the last reply."""
        before = _tokens(self._tokenizer, self._whole.text, 0, last)
        return tuple(sorted(set(before[1:]) & self._special))

    def _begins(self) -> int | None:
        bos = self._tokenizer.bos_token_id
        return bos if self._ids[:1] == (bos,) and bos not in self._ids[1:] else None


def _holds(mark: tuple[int, ...], piece: tuple[int, ...]) -> bool:
    """Return whether a mark contains another."""
    return bool(piece) and any(
        mark[i : i + len(piece)] == piece for i in range(len(mark) - len(piece) + 1)
    )


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
