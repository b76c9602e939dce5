"""A symptom's texts: its own toml file, and behind it the sentences that several symptoms say."""

from __future__ import annotations

from functools import cache

from sftdiag import texts
from sftdiag.guide.base import Symptom

SHARED = ("evidence", "fixes")
"""The tables whose sentences may stand in shared.toml."""


def of(symptom: Symptom, lang: str) -> texts.Texts:
    """Return what is said of a symptom in one language."""
    return _merged(symptom.name, lang)


@cache
def _merged(name: str, lang: str) -> texts.Texts:
    own, shared = (texts.load(__file__, file, lang) for file in (name, "shared"))
    return {**own, **{table: {**shared[table], **own.get(table, {})} for table in SHARED}}
