"""Damaged files: logs of every format with bytes changed, cut, doubled, moved and put in."""

from __future__ import annotations

import random
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "tests" / "sources" / "made"
SHARED = ROOT.parent / "shared"

STRANGE = (
    *(b"NaN", b"Infinity", b"-1", b"1e400", b"9" * 400, b"null", b"{}", b"[", b"{'loss': ", b"}"),
    *(b"\0", b"\xff\xfe", b"\x1b[31m", b"\r", b"\n", b'"', b"'", b"::", b"%|", b"\xe4\xb8\xad"),
    *(b"{'loss': nan}", b'{"loss": 1e308, "step": -5}', b"step", b"loss", b"1" * 5000, b"{" * 3000),
)

JSON_LINES = b'{"loss": 1.5, "step": 10, "epoch": 0.5}\n{"eval_loss": 1.5, "step": 20}\n' * 12
LIST = b"[" + b",".join(JSON_LINES.splitlines()) + b"]"
NOTEBOOK = (
    b'{"cells": [{"cell_type": "code", "outputs": [{"data": {"text/html": "<table><tr><th>Step</th>'
    b'<th>Training Loss</th></tr><tr><td>10</td><td>1.5</td></tr></table>"}}, '
    b'{"text": ["{\'loss\': 1.5, \'epoch\': 0.1}\\n"]}]}], "nbformat": 4}'
)
MADE_HERE = (JSON_LINES, LIST, NOTEBOOK)


def seeds() -> list[bytes]:
    """Return a whole file of every format."""
    files = [path for path in sorted(MADE.rglob("*")) if path.is_file() and path.suffix != ".md"]
    for folder in ("logs", "cases/console"):
        files += sorted(path for path in (SHARED / folder).rglob("*") if path.is_file())
    # DVCLive's tables are a folder; one of them alone is none of the formats.
    contents = {path.read_bytes() for path in files if path.suffix != ".tsv"}
    return sorted({*contents, *MADE_HERE}, key=lambda content: (len(content), content))


def damaged(seed: int, whole: list[bytes]) -> bytes:
    """Return a file that is damaged in a few ways."""
    draw = random.Random(seed)
    content = bytearray(draw.choice(whole))
    for _ in range(draw.randint(1, 12)):
        if not content:
            break
        at = draw.randrange(len(content))
        end = min(len(content), at + draw.choice((1, 1, 4, 30, 300, 3000)))
        kind = draw.randrange(7)
        if kind == 0:
            content[at] = draw.randrange(256)
        elif kind == 1:
            del content[at:end]
        elif kind == 2:
            content[at:at] = content[at:end] * draw.randint(1, 20)
        elif kind == 3:
            content[at:at] = draw.choice(STRANGE)
        elif kind == 4:
            content[at:end] = bytes(draw.randrange(256) for _ in range(end - at))
        elif kind == 5:
            other = draw.choice(whole)
            content[at:at] = other[: draw.randrange(1, min(len(other), 4000))]
        elif draw.random() < 0.3:
            del content[at:]
    return bytes(content)
