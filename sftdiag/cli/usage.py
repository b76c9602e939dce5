"""argparse's own messages in the language that was asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


def asked_language(given: Sequence[str]) -> str:
    """Return what ``--lang`` says, before anything is parsed; English without it."""
    for place, word in enumerate(given):
        if word == "--lang":
            return next(iter(given[place + 1 :]), "en")
        if word.startswith("--lang="):
            return word.partition("=")[2]
    return "en"


@contextmanager
def argparse_speaks(lang: str) -> Iterator[None]:
    """Let argparse say its messages in a language; it asks gettext, under the name ``_``.

    gettext has none of them, and loads ``locale`` to say so.
    """
    known = {} if lang == "en" else _words(lang)
    before = argparse._  # type: ignore[attr-defined]
    argparse._ = lambda message: known.get(message, message)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        argparse._ = before  # type: ignore[attr-defined]


def _words(lang: str) -> Mapping[str, str]:
    """Return argparse's messages in a language, by the English ones; none in an unknown one."""
    from sftdiag import texts

    if lang not in texts.LANGUAGES:
        return {}
    theirs = texts.load(__file__, "usage", "en")
    ours = texts.load(__file__, "usage", lang)
    return {message: ours[key] for key, message in theirs.items()}
