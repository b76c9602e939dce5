"""sftdiag inspect on data files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sftdiag.cli.main import main

setups = pytest.importorskip("setups", reason="needs the extra trainer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    setups.tokenizer().save_pretrained(folder / "tokenizer")
    setups.tokenizer(template=setups.OUTSIDE).save_pretrained(folder / "outside")
    files = {
        "messages": setups.messages(setups.PAIRS),
        "held_out": setups.messages(setups.HELD_OUT),
        "prompts": setups.prompt_completion(setups.PAIRS),
        "alpaca": setups.text(setups.PAIRS, setups.ALPACA),
        "masked": setups.tokens(setups.PAIRS, setups.nothing),
        "odd": [{"foo": "bar"}],
        "sharegpt": setups.sharegpt(setups.PAIRS),
        "instructions": [{"instruction": q, "input": "", "output": a} for q, a in setups.PAIRS],
        "empty": setups.messages([(q, "") for q, _ in setups.PAIRS]),
        "slipped": setups.messages(setups.slipped(setups.talks(600))),
        "blocks": setups.messages(setups.blocks()),
        "many": setups.prompt_completion(setups.PAIRS * 10),
    }
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder


def inspect(folder: Path, name: str, *options: str, tokenizer: str = "tokenizer") -> int:
    data = str(folder / f"{name}.jsonl")
    return main(["inspect", data, "--tokenizer", str(folder / tokenizer), *options])


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    return {finding["code"]: finding["severity"] for finding in report["findings"]}


@pytest.mark.parametrize(
    ("name", "options", "tokenizer", "expected"),
    [
        ("messages", [], "tokenizer", {"SFT405": "warning"}),
        ("messages", ["--train-on-prompt"], "tokenizer", {}),
        ("messages", ["--assistant-only-loss"], "tokenizer", {}),
        (
            "messages",
            ["--assistant-only-loss"],
            "outside",
            {"SFT409": "warning", "SFT406": "warning"},
        ),
        (
            "messages",
            ["--assistant-only-loss", "--max-length", "17"],
            "tokenizer",
            {"SFT408": "warning", "SFT415": "info"},
        ),
        ("prompts", [], "tokenizer", {}),
        ("alpaca", [], "tokenizer", {"SFT410": "warning"}),
        ("masked", [], "tokenizer", {"SFT401": "error"}),
        ("slipped", ["--assistant-only-loss"], "tokenizer", {"SFT419": "warning"}),
    ],
)
def test_what_it_finds(
    name: str,
    options: list[str],
    tokenizer: str,
    expected: dict[str, str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = inspect(folder, name, "--format", "json", *options, tokenizer=tokenizer)
    assert code == int("error" in expected.values())
    assert found(capsys) == expected


def test_files_say_nothing_of_the_order_in_which_a_trainer_takes_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect(folder, "blocks", "--assistant-only-loss", "--format", "json") == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    assert report["findings"] == []
    assert "in which order" in report["checks"]["skipped"]["rows-in-blocks"]


def test_evaluation_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = str(folder / "held_out.jsonl")
    inspect(folder, "messages", "--assistant-only-loss", "--format", "json", "--eval", clean)
    assert found(capsys) == {}
    same = str(folder / "messages.jsonl")
    inspect(folder, "messages", "--assistant-only-loss", "--format", "json", "--eval", same)
    assert found(capsys) == {"SFT413": "warning"}


def test_the_text_shows_a_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(folder, "messages", "--fail-on", "warning") == 1
    shown = capsys.readouterr().out
    assert "SFTConfig.assistant_only_loss: False -> True" in shown
    assert "⟦what colour has" in shown
    assert "learning-rate" not in shown


def test_a_sample_or_every_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[dict[str, Any]] = []
    for options in ([], ["--full"]):
        inspect(folder, "many", "--format", "json", *options)
        seen += json.loads(capsys.readouterr().out)["reports"][0]["checks"]["rows"]
    assert [rows["total"] for rows in seen] == [1200, 1200]
    assert 256 <= seen[0]["rows"] <= 512
    assert seen[1]["rows"] == 1200


def test_bad_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(folder, "odd") == 2
    error = capsys.readouterr().err
    assert "odd.jsonl: row 1: expected one of the columns text, messages" in error
    assert "the columns are foo" in error
    assert "bar" not in error
    assert inspect(folder, "missing") == 2
    assert "no such file" in capsys.readouterr().err
    assert inspect(folder, "messages", tokenizer="nowhere") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_forms_of_other_frameworks_are_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect(folder, "sharegpt", "--format", "json") == 0
    capsys.readouterr()
    # An instruction is a conversation of which the answer alone is trained, though not by TRL.
    assert inspect(folder, "instructions", "--format", "json") == 0
    assert found(capsys) == {"SFT426": "info"}


def test_empty_answers_are_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(folder, "empty", "--assistant-only-loss", "--format", "json") == 1
    assert found(capsys)["SFT421"] == "error"


@pytest.mark.parametrize(
    ("options", "en", "zh"),
    [
        (("--max-length", "-5"), "must be 1 or more, got -5", "必须不小于 1，得到的是 -5"),
        (("--max-length", "0"), "must be 1 or more, got 0", "必须不小于 1，得到的是 0"),
    ],
)
def test_what_is_no_length_is_refused_in_either_language(
    options: tuple[str, ...], en: str, zh: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lang, said in (("en", en), ("zh", zh)):
        assert inspect(folder, "messages", *options, "--lang", lang) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


@pytest.mark.parametrize(
    ("content", "said"),
    [("[1]", "应为 JSON 对象"), ("[{", "应为 JSON："), ("x", "第 1 行"), ("[]", "没有数据行")],
)
def test_files_that_hold_no_rows_are_refused_in_chinese(
    content: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.jsonl").write_text(content)
    assert inspect(folder, "broken", "--lang", "zh") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "没有对话模板"),
        ("{{ raise_exception('no roles') }}", "对话模板拒绝了它：no roles"),
        ("{% for %}", "第 1 行有语法错误"),
    ],
)
def test_templates_that_cannot_be_used_are_told_in_chinese(
    template: str | None, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setups.tokenizer(template=template).save_pretrained(folder / "other")
    assert inspect(folder, "messages", "--lang", "zh", tokenizer="other") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_messages_that_are_a_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "said.jsonl").write_text('{"messages": "hello"}\n')
    assert inspect(folder, "said") == 2
    assert "messages is to be a list of role and content, and is str" in capsys.readouterr().err


def test_columns_are_looked_at_before_the_tokenizer_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def heavy(path: str) -> None:
        raise AssertionError("the tokenizer was loaded")

    monkeypatch.setattr("sftdiag.rows.data_files.load_tokenizer", heavy)
    assert inspect(folder, "odd") == 2
    assert "the columns are foo" in capsys.readouterr().err
    assert inspect(folder, "messages", "--max-length", "-1") == 2


def test_every_sentence_with_a_key_has_its_chinese_and_no_other() -> None:
    import re
    import tomllib

    import sftdiag

    root = Path(sftdiag.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    keys = set(re.findall(r'keyed\(\s*"([a-z_0-9]+)"', sources)) | {"column", "columns"}
    words = tomllib.loads((root / "cli" / "told.toml").read_text(encoding="utf-8"))["zh"]
    assert set(words) == keys
