"""What ``sftdiag explain`` says: the sentences of a finding with the names of its numbers."""

from __future__ import annotations

import tomllib
from pathlib import Path
from string import Formatter

import pytest
from syrupy.assertion import SnapshotAssertion

import sftdiag
from sftdiag.guide.catalogue import explain, rules

PACKAGE = Path(sftdiag.__file__).parent


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("code", ["SFT103", "SFT303", "SFT504"])
def test_a_detector_a_probe_and_a_check(code: str, lang: str, snapshot: SnapshotAssertion) -> None:
    assert explain(code, lang) == snapshot


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_sentence_is_there_with_its_numbers_named(lang: str) -> None:
    shown = {rule.code: explain(rule.code, lang) for rule in rules(lang)}
    codes = {rule.name.replace("-", "_"): rule.code for rule in rules(lang)}
    told = 0
    for package in ("detectors", "probes", "checks"):
        for path in (PACKAGE / package).glob("*.toml"):
            words = tomllib.loads(path.read_text(encoding="utf-8"))[lang]
            sentences = list(words.get("seen", {}).values())
            sentences += [note["seen"] for note in words.get("notes", {}).values()]
            for sentence in sentences:
                for text, name, *_ in Formatter().parse(sentence):
                    assert text + (f"‹{name}›" if name else "") in shown[codes[path.stem]]
                told += 1
    assert told > len(shown)
