"""What the model said to the same prompts before training and at its last evaluation, side by side.

Prompts and answers are text of the user's. They stand in no Report, no JSON, no file and no alert:
whoever asked the model hands them over to be shown, on a terminal or in a notebook, nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sftdiag import texts
from sftdiag.findings import Report
from sftdiag.report.line import Line, visible, write_lines
from sftdiag.values import Value

SHOWN = 3
"""Prompts that are shown: more are read by nobody, and one may be an odd one."""

BESIDE_COLUMNS = 60
"""Columns from which two answers fit beside each other; below it they stand one under the other."""

MOST_CHARACTERS = 600
"""Characters shown of a text: eight lines of a column on a terminal of 160."""


class Said(Value):
    """The text of an answer, and whether the model ended it."""

    text: str
    ended: bool = True


class Asked(Value):
    """A prompt with its answers.

    Attributes:
        prompt: its text, with the template's marks.
        reference: the answer that the row gives, or None.
        before: what the model said before training; None where it was not asked then.
        after: what it said at the last evaluation; None where it has not been asked yet, or was
            not done in time.
    """

    prompt: str
    reference: str | None = None
    before: Said | None = None
    after: Said | None = None


class Answers:
    """Prompts and answers to show; says nothing of them in its repr, and makes no JSON.

    Args:
        asked: the prompts, :data:`SHOWN` at most.
        step: of the evaluation that ``after`` is of; None before the first.
    """

    def __init__(self, asked: Sequence[Asked] = (), step: int | None = None) -> None:
        self._asked = tuple(asked[:SHOWN])
        self._step = step

    def __repr__(self) -> str:
        return f"Answers to {len(self._asked)} prompts"

    def __bool__(self) -> bool:
        return bool(self._asked)

    def write(self, console: Any, language: str) -> None:
        """Write them to a rich Console: beside each other where it is wide enough."""
        words = texts.load(__file__, "answers", language)
        after = words["after"].format(step=self._step) if self._step is not None else words["later"]
        heading = words["heading"].format(prompts=len(self._asked))
        write_lines(console, [Line(0), Line(0, ((texts.counted(heading), "bold"),))])
        for number, asked in enumerate(self._asked, start=1):
            told = [(f"{number}. ", "bold"), (_end_of(asked.prompt), "")]
            shown = [Line(0), Line(2, tuple(told))]
            if asked.reference is not None:
                row = (words["row"], "dim"), (_start_of(asked.reference), "dim")
                shown.append(Line(5, row))
            write_lines(console, shown)
            _write_pair(console, words, [(words["before"], asked.before), (after, asked.after)])


class AnsweredReport(Report):
    """A live report that can show what the model said; the texts are in neither repr nor JSON."""

    answers: Answers = Answers()

    def show(self) -> None:
        """Print the report and, on a terminal or in a notebook, the answers below it."""
        from sftdiag.report import shown

        shown.show(self, self.answers)

    def _repr_html_(self) -> str:
        """Show the report in a notebook, the answers below it."""
        from sftdiag.report import notebook

        return notebook.render(self, self.answers)


def without_texts(language: str) -> str:
    """Return the line that says why no answers stand here."""
    return str(texts.load(__file__, "answers", language)["elsewhere"])


def _write_pair(console: Any, words: texts.Texts, pair: Sequence[tuple[str, Said | None]]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    cells = [(Text(title, style="cyan"), _said(words, said)) for title, said in pair]
    if console.width < BESIDE_COLUMNS:
        for title, text in cells:
            console.print(Padding(title, (0, 0, 0, 5)))
            console.print(Padding(text, (0, 0, 0, 7)))
        return
    table = Table.grid(padding=(0, 3, 0, 0), expand=True)
    for _ in cells:
        table.add_column(ratio=1, overflow="fold")
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    console.print(Padding(table, (0, 0, 0, 5)))


def _said(words: texts.Texts, said: Said | None) -> Any:
    from rich.text import Text

    if said is None:
        return Text(words["not_asked"], style="dim")
    text = Text(_start_of(said.text), overflow="fold")
    if not said.text.strip():
        text.append(words["nothing"], style="dim")
    if not said.ended:
        text.append(" " + words["goes_on"], style="dim")
    return text


def _start_of(text: str) -> str:
    return visible(text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + " …")


def _end_of(text: str) -> str:
    return visible(text if len(text) <= MOST_CHARACTERS else "… " + text[-MOST_CHARACTERS:])
