"""Both languages say everything: the same keys, the same numbers, and no sentence is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import sftdiag
from sftdiag.checks import CHECKS
from sftdiag.detectors import DETECTORS
from sftdiag.guide.catalogue import explain, rules
from sftdiag.guide.symptoms import NAMES, SYMPTOMS

PACKAGE = Path(sftdiag.__file__).parent
FILES = sorted(PACKAGE.rglob("*.toml"))

PARTS = ("evidence", "fixes")

GUIDE_TABLE = {
    "SFT101": {
        "learning-rate-too-low",
        "label-mask",
        "chat-template",
        "vanishing-gradient",
        "quantization-or-dtype",
    },
    "SFT102": {"learning-rate-too-high", "too-many-epochs"},
    "SFT301": {"overfitting", "sampling-temperature", "low-diversity-data"},
    "SFT302": {"forgetting", "lora-rank-too-large"},
    "SFT201": {"overfitting", "eval-distribution"},
    "SFT303": {"poor-data", "chat-template"},
}


def leaves(tree: Any, path: str = "") -> dict[str, str]:
    if isinstance(tree, dict):
        return {k: v for key, sub in tree.items() for k, v in leaves(sub, f"{path}/{key}").items()}
    if isinstance(tree, list):
        return {k: v for i, sub in enumerate(tree) for k, v in leaves(sub, f"{path}/{i}").items()}
    return {path: tree}


def numbers_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_languages_have_the_same_keys_and_numbers(path: Path) -> None:
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    assert set(tree) == {"en", "zh"}
    english, chinese = leaves(tree["en"]), leaves(tree["zh"])
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert text.strip()
        assert numbers_in(text) == numbers_in(chinese[key]), key
        words = re.sub(r"[{][^}]*[}]|SFT\d+", "", text)
        if re.search(r"[a-z]{2}", words):
            assert re.search(r"[\u4e00-\u9fff]", chinese[key]), key


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.name)
def test_every_sentence_of_a_symptom_is_there_and_used(symptom: Any) -> None:
    stem = PACKAGE / "guide" / symptom.name.replace("-", "_")
    source = stem.with_suffix(".py").read_text()
    words = tomllib.loads(stem.with_suffix(".toml").read_text(encoding="utf-8"))["en"]
    modules = re.findall(r"sftdiag.guide.([a-z_]+) import", source)
    both = source + "".join((PACKAGE / "guide" / f"{name}.py").read_text() for name in modules)
    quoted = set(re.findall(r'"([a-z_0-9]+)"', both))
    for part in PARTS:
        assert set(words[part]) <= quoted, f"{part} that nothing says"
    used = set(re.findall(r'(?:fix|missing|FixText)\(\s*"([a-z_0-9]+)"', source))
    used |= set(re.findall(r'Evidence\(\s*[^,]+,\s*"([a-z_0-9]+)"', source))
    shared = tomllib.loads((PACKAGE / "guide" / "shared.toml").read_text(encoding="utf-8"))["en"]
    assert used <= {key for said in (words, shared) for p in PARTS for key in said[p]}


def test_every_shared_sentence_is_used() -> None:
    sources = "".join(path.read_text() for path in (PACKAGE / "guide").glob("*.py"))
    quoted = set(re.findall(r'"([a-z_0-9]+)"', sources))
    shared = tomllib.loads((PACKAGE / "guide" / "shared.toml").read_text(encoding="utf-8"))["en"]
    assert {key for part in PARTS for key in shared[part]} <= quoted


def test_the_guides_table_is_complete() -> None:
    causes = {symptom.code: {cause.id for cause in symptom.causes} for symptom in SYMPTOMS}
    for code, wanted in GUIDE_TABLE.items():
        assert wanted <= causes[code]
    assert sum(len(wanted) for wanted in GUIDE_TABLE.values()) == 16


def test_every_cause_has_a_name_and_a_fix() -> None:
    names = tomllib.loads((PACKAGE / "guide" / "causes.toml").read_text(encoding="utf-8"))["en"]
    used = {cause.id for symptom in SYMPTOMS for cause in symptom.causes}
    used |= {cause for check in CHECKS for cause in check.causes}
    assert used == set(names)
    assert all(cause.fixes for symptom in SYMPTOMS for cause in symptom.causes)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_everything_can_be_explained(lang: str) -> None:
    listed = rules(lang)
    assert len({(rule.code, rule.name) for rule in listed}) == len(listed)
    notes = {note for kind in DETECTORS for note in kind.notes}
    assert notes <= {rule.name for rule in listed}
    for rule in listed:
        assert explain(rule.code, lang) == explain(rule.name, lang)
        assert not re.search("[{][a-z_]", explain(rule.code, lang))


@pytest.mark.parametrize(("lang", "word"), [("en", "is an error where"), ("zh", "错误级别")])
@pytest.mark.parametrize("code", ["SFT102", "SFT109", "SFT110", "SFT201"])
def test_what_may_be_a_warning_says_when_it_is_an_error(code: str, lang: str, word: str) -> None:
    """``stop_on="error"`` stops there: its user must find out why, and why not before."""
    assert word in " ".join(explain(code, lang).split())


@pytest.mark.parametrize(
    ("topic", "fact"),
    [
        ("SFT101", "3.0, 2.8, 2.6"),
        ("SFT101", "100 steps, logging every 10, per-device batch 4, accumulation 4"),
        ("SFT101", "2e-5 to 5e-5"),
        ("SFT102", "from 5e-5 to 1e-5"),
        ("SFT201", "under 5,000 samples 3 to 5, 5,000 to 50,000 samples 1 to 3"),
        ("SFT301", "temperature of 0.7 or more"),
        ("SFT301", "more sources"),
        ("SFT302", "64 to 32 to 16"),
        ("SFT303", "clean the data and add good samples"),
        ("curves", "the gap is small"),
        ("curves", "swings violently"),
    ],
)
def test_the_guides_facts_are_in_the_product(topic: str, fact: str) -> None:
    assert fact in " ".join(explain(topic, "en").split())


def test_the_table_of_symptoms_names_them() -> None:
    assert {symptom.code: symptom.name for symptom in SYMPTOMS} == NAMES
    assert list(NAMES) == sorted(NAMES)
