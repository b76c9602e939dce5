"""Rows of every kind of data file, the same rows each time, and one clear line when it is none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from sftdiag.errors import SourceError
from sftdiag.sources.rows import Rows

ROWS = [{"text": f"row {place}", "n": place} for place in range(2500)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def write(folder: Path, kind: str) -> Path:
    path = folder / kind
    if kind == "lines":
        path.write_text(LINES, encoding="utf-8")
    elif kind == "blank-lines-and-bom":
        path.write_text("\ufeff" + LINES.replace("\n", "\n\n"), encoding="utf-8")
    elif kind == "packed":
        path.write_bytes(gzip.compress(LINES.encode()))
    elif kind == "array":
        path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    elif kind == "folder":
        path.mkdir()
        half = LINES.index('{"text": "row 1200"')
        (path / "a.jsonl").write_text(LINES[:half], encoding="utf-8")
        (path / "b.jsonl").write_text(LINES[half:], encoding="utf-8")
        (path / "README.md").write_text("not data")
    else:
        datasets = pytest.importorskip("datasets")
        dataset = datasets.Dataset.from_list(ROWS)
        if kind == "parquet":
            dataset.to_parquet(path)
        elif kind == "saved":
            dataset.save_to_disk(path, num_shards=2)
        else:
            datasets.DatasetDict({"train": dataset, "test": dataset.select([0])}).save_to_disk(path)
    return path


KINDS = ("lines", "blank-lines-and-bom", "packed", "array", "folder", "parquet", "saved", "splits")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    rows = Rows(write(tmp_path, kind))
    assert list(rows) == ROWS
    assert rows.done == 1.0
    shares = []
    for batch in rows.batches(100):
        assert len(batch) <= 100
        shares.append(rows.done)
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1


def test_a_split(tmp_path: Path) -> None:
    path = write(tmp_path, "splits")
    assert list(Rows(path, "test")) == ROWS[:1]
    with pytest.raises(SourceError, match="has no split 'dev'; expected one of train, test"):
        Rows(path, "dev")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"text": "a"}\n{"text": ', "line 2: expected a JSON object"),
        (b'{"text": "a"}\n[1]\n', "line 2: expected a JSON object"),
        (b"just text\n", "line 1: expected a JSON object"),
        (b"\xff\xfe\x00", "line 1: expected a JSON object"),
        (b"[1, 2]", "entry 0: expected a JSON object"),
        (b"[1, ", "expected JSON"),
        (b"PAR1 and no more", "expected Parquet"),
        (b"\x1f\x8b and no more", "cannot be read"),
        (gzip.compress(LINES.encode())[:-100], "cannot be read"),
    ],
)
def test_what_is_no_data_is_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=says) as caught:
        list(Rows(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        Rows(tmp_path / "no")
    with pytest.raises(SourceError, match="holds no saved dataset"):
        Rows(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    assert list(Rows(tmp_path)) == []
