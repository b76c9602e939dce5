"""A symptom's texts: its own toml file, and behind it the sentences that several symptoms say."""

from __future__ import annotations

from functools import cache

from sftdiag import detectors as detectors_package
from sftdiag import texts
from sftdiag.guide.base import Symptom

SHARED = ("evidence", "fixes")
"""The tables whose sentences may stand in shared.toml."""


def of(symptom: Symptom, lang: str) -> texts.Texts:
    """Return what is said of a symptom in one language."""
    return _merged(symptom.name, lang)


def seen(symptom: Symptom, lang: str) -> texts.Texts:
    """Return the texts of the detector or probe that finds a symptom: what was seen, and notes."""
    if symptom.seen_by == "log":
        return texts.load(detectors_package.__file__, symptom.name, lang)
    from sftdiag import probes

    return texts.load(probes.__file__, symptom.name, lang)


@cache
def _merged(name: str, lang: str) -> texts.Texts:
    own, shared = (texts.load(__file__, file, lang) for file in (name, "shared"))
    return {**own, **{table: {**shared[table], **own.get(table, {})} for table in SHARED}}
