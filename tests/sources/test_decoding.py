"""msgspec and the scanner alone decode what json does, to the same value, or leave it to json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from logs import healthy, write_state

from sftdiag.sources import decoding, open_run

pytest.importorskip("msgspec")

numbers = st.integers() | st.floats() | st.integers(-(2**70), 2**70)
texts = st.text() | st.text(st.characters(categories=["Cs", "Cc", "L"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
TOKENS = (b"-0", b"1e400", b"1e-400", b"NaN", b"[1,]", b"01", b"1.", b'"\xff"', b'{"a":1,"a":2}')


def like_json(content: bytes) -> None:
    found = decoding.quickly(content)
    if found is not decoding.NOTHING:
        assert typed(json.loads(content)) == typed(found)
    assert decoding.encoding(content) == json.detect_encoding(content)
    text = content.decode("utf-8", "replace")
    try:
        known = json.loads(text)
    except (ValueError, RecursionError):
        known = decoding.NOTHING
    assert typed(decoding.scanned(text)) == typed(known)


def typed(value: Any) -> Any:
    """Return a value in which 1, 1.0 and True, and 0.0 and -0.0, are different."""
    if isinstance(value, dict):
        return [(key, typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value).__name__, repr(value)


@pytest.fixture(autouse=True, scope="module")
def _worth_it() -> None:
    import msgspec.json  # noqa: F401


@given(values, st.booleans())
def test_the_same_value(value: Any, ascii_only: bool) -> None:
    try:
        content = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    like_json(content)


@given(st.lists(st.sampled_from([*TOKENS, *(bytes([c]) for c in b'0123456789.eE+-"\\u{}[],: \n')])))
@example([b'"\\ud800"'])
@example([b"111111111111111111111111111111"])
def test_what_json_refuses_is_left_to_it(parts: list[bytes]) -> None:
    like_json(b"".join(parts))


def test_a_small_log_does_not_load_it_and_a_large_one_does(tmp_path: Path) -> None:
    rows = healthy()
    small = write_state(tmp_path / "small.json", rows)
    large = write_state(tmp_path / "large.json", rows * (1 + decoding.WORTH_BYTES // 20_000))
    assert large.stat().st_size > decoding.WORTH_BYTES
    # The package json, whose import takes longer than reading a small log, is loaded for neither.
    for path, expected in ((small, "False False"), (large, "True False")):
        code = (
            "import sys\nfrom sftdiag.sources import open_run\n"
            f"open_run({str(path)!r})\nprint('msgspec' in sys.modules, 'json' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == expected, done.stderr


def test_a_python_whose_scanner_asks_for_more_reads_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*healthy(), {"step": 999, "loss": float("-inf"), "num_tokens": 10**30}]
    path = write_state(tmp_path / "state.json", rows)
    read = open_run(path)
    for scanner in (None, lambda ways: ways.array_hook):
        monkeypatch.setattr("_json.make_scanner", scanner, raising=False)
        assert decoding.scanned("1") is decoding.NOTHING
        assert typed(open_run(path).entries) == typed(read.entries)


def test_without_it_json_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*healthy(), {"step": 999, "loss": float("nan"), "num_tokens": 10**30}]
    path = write_state(tmp_path / "state.json", rows)
    read = open_run(path)
    monkeypatch.setitem(sys.modules, "msgspec", None)
    monkeypatch.setitem(sys.modules, "msgspec.json", None)
    assert typed(open_run(path).entries) == typed(read.entries)


@pytest.mark.parametrize("end", ['"loss": 0.2', '"loss": 1 x}]}', '"loss": 0.2,', '"loss'])
def test_a_log_that_is_cut_off_is_told_in_a_process_that_has_read_no_json(
    tmp_path: Path, end: str
) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text('{"global_step": 9, "log_history": [{"step": 1, "loss": 2.0}, {' + end)
    command = [sys.executable, "-m", "sftdiag", "analyze", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"sftdiag: {path}: ")
    assert len(done.stderr.splitlines()) == 1
