"""inspect on rows of every form, with templates as they are met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

templates = pytest.importorskip("templates", reason="needs the extra trainer")

from sftdiag.config import Settings  # noqa: E402
from sftdiag.errors import SourceError  # noqa: E402
from sftdiag.rows.data_files import inspect_data  # noqa: E402

WORDS = "jar lamp rope saddle kettle ladder anchor drum".split()  # noqa: SIM905


def said(row: int) -> tuple[str, str]:
    thing = WORDS[row % 8]
    return f"Where is the {thing} {row}?", f"The {thing} {row} is by the {WORDS[row * 3 % 7]}."


def talks(count: int = 40) -> list[dict[str, Any]]:
    return [{"messages": templates.talk(*said(row))} for row in range(count)]


def look(folder: Path, rows: list[dict[str, Any]], known: Any, **options: Any) -> Any:
    known.save_pretrained(folder / "tokenizer")
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    settings = Settings(train_on_prompt=True)
    return inspect_data(path, folder / "tokenizer", settings=settings, **options)


def codes(report: Any) -> list[str]:
    return [f"{f.code} {f.severity.label}" for f in report.findings if f.consequence_of is None]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (None, "has no chat template"),
        (templates.RAISES, "turns must begin with a name"),
        (templates.BROKEN, "syntax error in line 1: unexpected '}'"),
    ],
)
def test_why_rows_cannot_be_rendered(tmp_path: Path, template: str | None, problem: str) -> None:
    with pytest.raises(SourceError) as raised:
        look(tmp_path, talks(), templates.tokenizer(template))
    assert problem in str(raised.value)
    assert "columns" not in str(raised.value)
    assert "jar" not in str(raised.value)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (templates.tokenizer(templates.CHATML), []),
        (
            templates.tokenizer(templates.DEFAULT_SYSTEM, bos="<|im_start|>", pad="<|im_end|>"),
            [],
        ),
        (templates.tokenizer(templates.BEGIN_EACH_TURN, bos="<s>", eos="</s>"), []),
        (templates.tokenizer(templates.LAST_END, eos="</s>"), []),
        (
            templates.tokenizer(templates.ALWAYS_HEADER, bos="<s>", eos="</s>"),
            ["SFT406 warning"],
        ),
        (templates.tokenizer(templates.NEWLINE), ["SFT406 warning"]),
        (templates.tokenizer(templates.NOTHING), ["SFT406 warning"]),
    ],
)
def test_templates(tmp_path: Path, known: Any, expected: list[str]) -> None:
    assert codes(look(tmp_path, talks(), known)) == expected
    several = [{"messages": templates.talk(*said(i), *said(i + 40))} for i in range(40)]
    assert codes(look(tmp_path, several, known)) == expected


def test_prompt_and_completion(tmp_path: Path) -> None:
    known = templates.tokenizer(templates.CHATML)
    rows = [{"prompt": m["messages"][:1], "completion": m["messages"][1:]} for m in talks()]
    assert codes(look(tmp_path, rows, known)) == []
    texts = [{"prompt": f"{q}\n", "completion": a} for q, a in map(said, range(40))]
    assert codes(look(tmp_path, texts, known)) == []


def test_a_text_beside_prompt_and_completion_takes_their_end(tmp_path: Path) -> None:
    known = templates.tokenizer(None)
    texts = [{"prompt": q, "completion": a, "text": "-"} for q, a in map(said, range(40))]
    report = look(tmp_path, texts, known)
    assert codes(report) == ["SFT406 warning"]
    (cause,) = report.primary.causes
    assert "column text" in cause.fixes[0].text


def test_a_prompt_that_ends_with_an_answer_is_no_prefix(tmp_path: Path) -> None:
    known = templates.tokenizer(templates.CHATML)
    rows = [
        {"prompt": [*m["messages"], {"role": "assistant", "content": "So"}], "completion": []}
        for m in talks()
    ]
    for row in rows:
        row["completion"] = [row["prompt"].pop()]
    known.chat_template = templates.CHATML.replace(
        templates.ASKED, "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"
    )
    assert codes(look(tmp_path, rows, known)) == ["SFT425 warning"]


def test_calls_that_the_template_does_not_write(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "jar"}}}
    rows = []
    for number, row in enumerate(talks()):
        asked, answered = row["messages"]
        called = {"role": "assistant", "content": "", "tool_calls": [call]}
        result = {"role": "tool", "content": f"by the {number}"}
        rows.append({"messages": [asked, called, result, answered]})
    report = look(tmp_path, rows, templates.tokenizer(templates.CHATML))
    # An error by what it leads to: empty answers in every row.
    assert codes(report) == ["SFT424 error"]
    (empty,) = (finding for finding in report.findings if finding.code == "SFT421")
    assert empty.consequence_of == report.primary_id


def test_shared_roles(tmp_path: Path) -> None:
    names = {"user": "human", "assistant": "gpt"}
    rows = [
        {
            "conversations": [
                {"from": names[m["role"]], "value": m["content"]} for m in r["messages"]
            ]
        }
        for r in talks()
    ]
    report = look(tmp_path, rows, templates.tokenizer(templates.CHATML))
    assert codes(report) == ["SFT410 warning"]
    assert "gpt, human" in report.findings[0].message


def test_a_quiet_report_has_five_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = look(tmp_path, talks(), templates.tokenizer(templates.CHATML))
    capsys.readouterr()
    report.show()
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("healthy. The checks that could run found no fault.")
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "Rows", "Trained", "Looked at", "Not judged"
    ]  # fmt: skip
    assert "all 40 of train" in lines[1]
    assert "the chat template" in lines[3]
