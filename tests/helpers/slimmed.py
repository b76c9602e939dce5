"""Takes out of a tracker's file all but the numbers: paths, hosts, users, packages, arguments.

``python tests/helpers/slimmed.py TOOL SOURCE TARGET``, behind scripted.py, makes what lies in
tests/sources/made. What is left stands byte for byte as the tool wrote it, framed anew.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from sftdiag.sources.framing import BLOCK_BYTES, HEADER_BYTES, PIECE_BYTES, fields, records


def framed(header: bytes, kept: Iterable[bytes]) -> bytes:
    """Return records in the framing of LevelDB."""
    out = bytearray(header)
    for record in kept:
        first, rest = True, record
        while first or rest:
            room = BLOCK_BYTES - len(out) % BLOCK_BYTES
            if room < PIECE_BYTES:
                out += b"\0" * room
                room = BLOCK_BYTES
            piece, rest = rest[: room - PIECE_BYTES], rest[room - PIECE_BYTES :]
            kind = (1 if not rest else 2) if first else (4 if not rest else 3)
            check = zlib.crc32(bytes([kind]) + piece)
            out += struct.pack("<IHB", check, len(piece), kind) + piece
            first = False
    return bytes(out)


def of_blocks(numbers: set[int]) -> Callable[[Path, Path], None]:
    def slim(source: Path, target: Path) -> None:
        with open(source, "rb") as file:
            kept = [r for r in records(file) if numbers & {number for number, _ in fields(r)}]
        target.write_bytes(framed(source.read_bytes()[:HEADER_BYTES], kept))

    return slim


def of_database(tables: dict[str, str]) -> Callable[[Path, Path], None]:
    def slim(source: Path, target: Path) -> None:
        shutil.copy(source, target)
        base = sqlite3.connect(target)
        base.execute("pragma journal_mode = delete")
        base.execute("pragma foreign_keys = off")
        known = base.execute("select type, name from sqlite_master where name not like 'sqlite_%'")
        for kind, name in known.fetchall():
            if kind == "trigger" or (kind == "table" and name not in tables):
                base.execute(f"drop {kind} if exists {name}")
        for change in filter(None, tables.values()):
            base.execute(change)
        base.commit()
        base.execute("vacuum")
        base.close()

    return slim


def of_archive(member: str, keeps: Callable[[str], bool]) -> Callable[[Path, Path], None]:
    def slim(source: Path, target: Path) -> None:
        with zipfile.ZipFile(source) as archive:
            lines = archive.read(member).decode().splitlines(keepends=True)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, "".join(filter(keeps, lines)))

    return slim


def events(source: Path, target: Path) -> None:
    """Keep the version and the scalars; args and model_config are texts."""
    content, kept, place = source.read_bytes(), b"", 0
    while place < len(content):
        end = place + 12 + struct.unpack_from("<Q", content, place)[0] + 4
        if b"text_summary" not in content[place:end]:
            kept += content[place:end]
        place = end
    target.write_bytes(kept)


SLIM: dict[str, Callable[[Path, Path], None]] = {
    "wandb": of_blocks({2, 18}),
    "swanlab": of_blocks({13}),
    "trackio": of_database({"metrics": "", "configs": "delete from configs"}),
    "mlflow": of_database(
        {
            "metrics": "",
            "latest_metrics": "",
            "runs": "update runs set user_id = '', artifact_uri = '', source_name = '', "
            "entry_point_name = ''",
        }
    ),
    "clearml": of_archive("metrics.jsonl", lambda line: True),
    "comet": of_archive("messages.json", lambda line: json.loads(line)["type"] == "metric_msg"),
    "tensorboard": events,
}

if __name__ == "__main__":
    tool, given, made = sys.argv[1:]
    SLIM[tool](Path(given), Path(made))
