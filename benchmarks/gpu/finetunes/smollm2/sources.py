"""What the second base is fine-tuned with: conversations from Debian packages, by source."""

from __future__ import annotations

import gzip
import html
import json
import lzma
import random
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.finetunes.text import KIND, TAG, functions

PACKAGES = ("wordnet-base", "python3.11-doc", "debian-handbook", "manpages-zh")
FILE = "conversations.json.xz"
MOST = 3000
"""Conversations of a source: more than any run takes."""

Turn = dict[str, Any]
Conversation = list[Turn]

PARAGRAPH = re.compile(r'<div class="para">(.*?)</div>', re.DOTALL)
NAME = re.compile(r'\.SH[ "]*(?:NAME|名称|名字)[^\n]*\n(.*?)\n\.S[HS]', re.DOTALL)
SENTENCE = re.compile(r"(?<=[.!?]) ")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "define",
            "description": "Look a word up in the dictionary.",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string"}, "kind": {"type": "string"}},
                "required": ["word"],
            },
        },
    }
]
CALLING = (
    "You can call these tools:\n"
    + json.dumps(TOOLS[0]["function"])
    + "\nWrite a call as <tool_call>{...}</tool_call>."
)


def turns(*contents: str) -> Conversation:
    """Return a conversation of user and assistant in turn."""
    roles = ("user", "assistant") * len(contents)
    return [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]


def senses(folder: Path) -> Iterator[tuple[str, str, list[str], str]]:
    """Yield WordNet's words: the kind, a word, others for the same, and what they mean."""
    for kind, name in KIND.items():
        for line in (folder / f"data.{kind}").read_text(encoding="ascii").splitlines():
            if line.startswith(" "):
                continue
            synset, _, gloss = line.partition(" | ")
            fields = synset.split()
            words = [fields[at].partition("(")[0] for at in range(4, 4 + 2 * int(fields[3], 16), 2)]
            word, *others = [word.replace("_", " ") for word in words]
            meaning = gloss.split(';  "')[0].split('; "')[0].strip()
            if 20 < len(meaning) < 160:
                yield name, word, others, meaning


def paragraphs(folder: Path) -> list[str]:
    """Return the handbook's paragraphs in one language; the same places in each."""
    return [
        " ".join(html.unescape(TAG.sub("", found)).split())
        for page in sorted(folder.glob("*.html"))
        for found in PARAGRAPH.findall(page.read_text(errors="ignore"))
    ]


def commands(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield commands and what they do, in Chinese."""
    for page in sorted(folder.glob("man*/*.gz")):
        with gzip.open(page, "rt", errors="ignore") as file:
            found = NAME.search(file.read())
        if found is None:
            continue
        name, dash, said = found[1].replace("\\-", " - ").replace("\\", "").partition(" - ")
        said = " ".join(said.split())
        if dash and 4 < len(said) < 80:
            yield name.split(",")[0].strip(), said


def _of_words(share: Path) -> dict[str, list[Conversation]]:
    found: dict[str, list[Conversation]] = {"words": [], "tools": [], "thinking": [], "kinds": []}
    for kind, word, others, meaning in senses(share / "wordnet"):
        asked = f"What does the {kind} {word} mean?"
        found["words"].append(turns(asked, meaning))
        call = json.dumps({"name": "define", "arguments": {"word": word, "kind": kind}})
        found["tools"].append(
            [
                {"role": "system", "content": CALLING},
                *turns(asked, f"<tool_call>{call}</tool_call>"),
                {"role": "tool", "content": json.dumps({"meaning": meaning})},
                {"role": "assistant", "content": f"The {kind} {word} means: {meaning}."},
            ]
        )
        if others:
            thought = f"The {kind} {word} is asked for. The same is meant by {', '.join(others)}."
            found["thinking"].append(turns(asked, f"<think>\n{thought}\n</think>\n\n{meaning}"))
        asked = f"Of which kind is the word with the meaning '{meaning}'? Answer with one word."
        found["kinds"].append(turns(asked, kind))
    return found


def _of_handbook(share: Path) -> dict[str, list[Conversation]]:
    pages = share / "doc" / "debian-handbook" / "html"
    english, chinese = paragraphs(pages / "en-US"), paragraphs(pages / "zh-CN")
    found: dict[str, list[Conversation]] = {"handbook": [], "translation": [], "copies": []}
    for text in english:
        first, *rest = SENTENCE.split(text)
        if rest and 200 < len(text) < 700:
            found["handbook"].append(turns(f"Continue this text: {first}", " ".join(rest)))
    for text, other in zip(english, chinese, strict=True):
        if 15 < len(other) < 90 and not other.isascii():
            found["translation"].append(turns(f"把下面这段话译成中文：{text}", other))
        if 40 < len(text) < 200:
            found["copies"].append(turns(f"Repeat this text word by word:\n{text}", text))
    return found


def build(share: Path) -> dict[str, list[Conversation]]:
    """Return the conversations of each source, in a fixed random order."""
    sources = {**_of_words(share), **_of_handbook(share)}
    library = share / "doc" / "python3.11-doc" / "html" / "library"
    sources["python"] = [turns(*pair) for pair in dict(functions(library)).items()]
    sources["commands"] = [
        turns(f"命令 {name} 是做什么的？", said)
        for name, said in dict(commands(share / "man" / "zh_CN")).items()
    ]
    draw = random.Random(0)
    for name, found in sources.items():
        unique = list({found[at][-2]["content"]: found[at] for at in range(len(found))}.values())
        draw.shuffle(unique)
        sources[name] = unique[:MOST]
    return sources


def write(folder: Path) -> str:
    """Make the conversations from packages that are downloaded now; return what was made."""
    with tempfile.TemporaryDirectory() as scratch:
        where = Path(scratch)
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=where, check=True)
        for package in sorted(where.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(where / "root")], check=True)
        sources = build(where / "root" / "usr" / "share")
    folder.mkdir(parents=True, exist_ok=True)
    with lzma.open(folder / FILE, "wt", encoding="utf-8") as file:
        json.dump(sources, file, ensure_ascii=False)
    return ", ".join(f"{len(found):,} {name}" for name, found in sources.items())


def read(folder: Path) -> dict[str, list[Conversation]]:
    """Read the conversations that :func:`write` wrote."""
    with lzma.open(folder / FILE, "rt", encoding="utf-8") as file:
        content: dict[str, list[Conversation]] = json.load(file)
    return content


def several(pool: Sequence[Conversation], count: int) -> list[Conversation]:
    """Join so many conversations each to one of as many turns; the first keeps its system turn."""
    joined = []
    for at in range(0, len(pool) - count + 1, count):
        first, *others = pool[at : at + count]
        joined.append([*first, *(t for c in others for t in c if t["role"] != "system")])
    return joined
