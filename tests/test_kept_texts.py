"""Texts are parsed once and kept beside the bytecode; what is kept is never trusted blindly."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sftdiag import texts


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def read(path: Path) -> object:
    texts._read.cache_clear()
    return texts.load(str(path.with_name("module.py")), path.stem, "en")["said"]


def write(path: Path, said: str) -> None:
    path.write_text(f'[en]\nsaid = "{said}"\n[zh]\nsaid = "{said}"\n', encoding="utf-8")


def test_what_is_kept_is_read_without_the_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "unit.toml"
    write(path, "first")
    assert read(path) == "first"
    monkeypatch.setitem(sys.modules, "tomllib", None)
    assert read(path) == "first"


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "unit.toml"
    write(path, "first")
    assert read(path) == "first"
    write(path, "other")
    os.utime(path, ns=(1, 1))
    assert read(path) == "other"


@pytest.mark.parametrize(
    "content", [b"", b"no marshal", b"i\x00\x00\x00\x00", b"(\x02\x00\x00\x00"]
)
def test_a_broken_one_is_ignored(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "unit.toml"
    write(path, "first")
    assert read(path) == "first"
    (kept,) = (tmp_path / "__pycache__").iterdir()
    kept.write_bytes(content)
    assert read(path) == "first"


def test_where_no_bytecode_is_wanted_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "unit.toml"
    write(path, "first")
    assert read(path) == "first"
    assert not (tmp_path / "__pycache__").exists()


def test_a_folder_that_cannot_be_written_to_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "unit.toml"
    write(path, "first")
    (tmp_path / "__pycache__").write_text("a file in the folder's place")
    assert read(path) == "first"
