"""What the model says is shown on a terminal and in a notebook, and stands nowhere else."""

from __future__ import annotations

import json
import logging
import pickle
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import sftdiag

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

from receiver import Receiver  # noqa: E402
from rich.cells import cell_len  # noqa: E402

from sftdiag.context import RunContext  # noqa: E402
from sftdiag.report import answers as answers_module  # noqa: E402
from sftdiag.report import html, junit, markdown, sarif  # noqa: E402
from sftdiag.report.answers import AnsweredReport, Answers, Asked, Said  # noqa: E402
from sftdiag.report.line import visible  # noqa: E402
from sftdiag.report.results import Results  # noqa: E402
from sftdiag.signals.course import course_of  # noqa: E402

pytestmark = pytest.mark.slow

ASKED = "what colour has the"
"""Stands in every prompt."""

BEFORE, AFTER = "before training", "at step 20"


class Run:
    """A tiny run whose model was asked, and all that it wrote and sent."""

    def __init__(self, folder: Path) -> None:
        receiver, log = Receiver(), logging.getLogger("sftdiag")
        self.said: list[str] = []
        keep = logging.Handler()
        keep.emit = lambda record: self.said.append(record.getMessage())  # type: ignore[method-assign]
        log.addHandler(keep)
        # A rate beyond every range: there is something to tell.
        arguments = {"max_steps": 20, "eval_steps": 10, "learning_rate": 0.2}
        trainer = finetune.make_trainer("none", folder, **arguments)
        probes = sftdiag.Probes(seconds=60, reply_tokens=12)
        self.callback = sftdiag.attach(trainer, probes=probes, webhook=receiver.url)
        trainer.train()
        finetune.save_log(trainer, folder)
        log.removeHandler(keep)
        receiver.server.shutdown()
        self.folder, self.sent = folder, receiver.got
        self.report = self.callback.report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("asked"))


@pytest.mark.parametrize("columns", [120, 60, 59, 30])
def test_a_terminal_shows_them_beside_each_other_where_they_fit(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    run.report.show()
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    lines = shown.splitlines()
    assert [line for line in lines if cell_len(line) > columns] == []
    lines = lines[next(i for i, line in enumerate(lines) if "What the model says" in line) :]
    beside = [line for line in lines if BEFORE in line and AFTER in line]
    assert len(beside) == (3 if columns >= 60 else 0)
    assert sum(AFTER in line for line in lines) == 3
    assert " ".join(shown.split()).count(ASKED) == 3
    assert " ".join(shown.split()).count("the row's answer:") == 3


def test_the_same_prompts_before_and_after(run: Run) -> None:
    shown = run.callback.prober.told.answers._asked
    assert len(shown) == 3
    for asked in shown:
        assert ASKED in asked.prompt
        assert asked.reference.startswith("the ")
        assert asked.before != asked.after
        assert isinstance(asked.before, Said)
        assert isinstance(asked.after, Said)


def test_a_notebook_shows_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run.callback._repr_html_()
    plain = sftdiag.analyze(run.folder)._repr_html_()
    more = [page.count(text) for text in (BEFORE, AFTER, ASKED) for page in (shown, plain)]
    assert [a - b for a, b in zip(more[::2], more[1::2], strict=True)] == [3, 3, 3]
    assert "&lt;|user|&gt;" in shown
    displayed: list[Any] = []
    interactive, display = ModuleType("IPython"), ModuleType("IPython.display")
    interactive.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.display = displayed.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", interactive)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    run.report.show()
    assert displayed == [run.report]


def test_a_pipe_says_that_they_are_shown_elsewhere(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run.report.show()
    shown = capsys.readouterr().out
    assert ASKED not in shown
    assert "on a terminal or in a notebook only" in shown


def test_they_stand_nowhere_else(run: Run) -> None:
    asked = run.callback.prober.told.answers._asked
    texts = [text.text for each in asked for text in (each.before, each.after) if text.text]
    hidden = [ASKED, *(text for text in texts if text.count(" ") >= 2)]
    assert len(hidden) > 3
    report = run.report
    written = [path.read_bytes() for path in run.folder.rglob("*") if path.is_file()]
    assert len(written) > 5
    shown = [
        *(content.decode("utf-8", "replace") for content in written),
        *run.said,
        json.dumps(run.sent),
        json.dumps(report.to_dict()),
        *(module.render(Results([report])) for module in (markdown, sarif, junit)),
        html.page(report, course_of(report, [], RunContext())),
        *(str(report), repr(report), repr(report.__dict__), f"{run.callback.prober.told!r}"),
        json.dumps(sftdiag.analyze(run.folder).to_dict()),
    ]
    assert run.sent
    assert run.said
    for text in hidden:
        assert not any(text in place for place in shown)


def test_a_report_without_probes_is_a_plain_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = finetune.make_trainer("none", tmp_path, max_steps=2, eval_strategy="no")
    callback = sftdiag.attach(trainer)
    trainer.train()
    assert type(callback.report) is sftdiag.Report
    capsys.readouterr()
    callback.report.show()
    assert capsys.readouterr().out == f"{callback.report}\n"


def written(answers: Answers, language: str = "en", columns: int = 80) -> str:
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), width=columns, color_system=None)
    answers.write(console, language)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_markup_and_control_characters_are_shown_as_they_are() -> None:
    hostile = "[red]no[/red] \x1b[31mred\x1b]0;title\x07 \u202eturned\r\n\tnext"
    shown = written(
        Answers([Asked(hostile, hostile, Said(hostile), Said(hostile))], 7), columns=200
    )
    assert "[red]no[/red]" in shown
    assert not set(shown) & set("\x1b\x07\r\t\u202e")
    assert r"\x1b[31mred" in shown
    assert r"\u202eturned\r⏎⇥next" in shown
    assert visible("a\u200db 好") == "a\u200db 好"


def test_what_is_not_there_is_said_and_long_texts_are_cut() -> None:
    asked = Asked("x" * 5000, None, None, Said("", ended=False))
    shown = written(Answers([asked] * 5, None))
    assert shown.count("not asked, or not done in time") == 3
    assert shown.count("(nothing) [and goes on]") == 3
    assert "the row's answer" not in shown
    assert 3 * answers_module.MOST_CHARACTERS <= shown.count("x") < 2000


def test_chinese(run: Run) -> None:
    asked = Asked("问题", "答案", Said("早先的回答" * 20), Said("后来的回答"))
    shown = written(Answers([asked], 40), "zh")
    assert "训练之前" in shown
    assert "第 40 步" in shown
    assert all(len(line.encode("gbk")) <= 80 for line in shown.splitlines())


def test_a_copy_of_the_report_keeps_what_it_shows(run: Run) -> None:
    assert isinstance(run.report.replace(source="here"), AnsweredReport)
    assert ASKED not in repr(pickle.loads(pickle.dumps(run.report)))
