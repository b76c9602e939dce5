"""argparse's own messages in the language that was asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sftdiag import texts


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
    """Let argparse say its messages in a language; it asks gettext, under the name ``_``."""
    if lang not in texts.LANGUAGES or lang == "en":
        yield
        return
    theirs = texts.load(__file__, "usage", "en")
    ours = texts.load(__file__, "usage", lang)
    known = {message: ours[key] for key, message in theirs.items()}
    before = argparse._  # type: ignore[attr-defined]
    argparse._ = lambda message: known.get(message, message)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        argparse._ = before  # type: ignore[attr-defined]
