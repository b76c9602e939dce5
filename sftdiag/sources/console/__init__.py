"""Console text: what a run printed, under whatever printed beside it.

Reads the Trainer's dicts (numbers, or the strings of transformers 5), notebook tables, and the
lines of torchtune, Megatron, NeMo, litgpt, Lightning, mlx-lm, xtuner and scripts, inside progress
bars, colours, time stamps, the prefixes of Slurm, torchrun and loggers, and several ranks' output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from math import gcd
from typing import Any

from sftdiag.columns import Columns, canonical, is_of_evaluation
from sftdiag.context import RunContext
from sftdiag.sources.console import bars, dicts, fairseq, headings, keras, pairs
from sftdiag.sources.console.tables import Progress, Table, step_in
from sftdiag.sources.log import Again, Log, Note
from sftdiag.sources.numbering import numbered
from sftdiag.sources.opening import Head, lines, tail
from sftdiag.sources.steps import SURVEYED_ROWS, Event, Plan, Survey

FORMAT = "console"

TAIL_BYTES = 1 << 18
"""Bytes of a long log's end in which its last bar and its closing row are looked for."""

WRAPPED_LINES = 8
"""Lines over which a narrow console wraps a row: 80 columns hold a third of one."""

_COLOURS = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_RANK = re.compile(
    r"^\s*(?:(?:\[?(?:rank|default|local_rank)[ :=]?(\d{1,5})\]?|\[\d+,(\d{1,5})\]<std\w+>"
    r"|(\d{1,5}))\s*:\s*(?![\d:])|\[XTuner\]\[RANK (\d{1,5})\])",
    re.I,
)
"""What torchrun, OpenMPI, ``srun --label`` and xtuner write before a rank's line."""

_ROUNDED = re.compile(r"0?\.(?:0{2,}|0{4,}\d)")
"""A rate of which fixed decimals have left one digit or none, as OpenNMT and xtuner print them:
0.00000 is no 0. Where numbers are written as they are, it is 0.0 or 2e-05."""

TRAINED = ("loss", "train_loss")

STANDING = ("bar", *pairs.WRITERS)
"""Kinds of lines that show the last evaluation again and again, beside each train loss."""

EPOCH, FAIRSEQ = "epoch", "fairseq"
"""The kind of a line that a script prints once an epoch; fairseq's, in bits."""

_DICT, NO_NUMBER = re.compile(r"\{[^{}]*\}"), "nan"

DIGITS = 4
"""Digits that transformers 5 prints of a number."""


class Scanner:
    """Reads console lines one by one into rows and bars.

    Attributes:
        as_strings: rows whose numbers were strings, as transformers 5 prints them.
        kinds: how many rows were read as which kind of line.
        ranks: the ranks that printed rows.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.as_strings = 0
        self.kinds: dict[str, int] = {}
        self.ranks: set[str] = set()
        self._first_rank: str | None = None
        self._standing: dict[str, Any] = {}
        self._table = Table()
        self._wrapped: list[str] = []
        self._drawn: tuple[int, int, int | None] | None = None
        self._step: int | None = None
        self._rate = (-1, "")
        self._stepwise = False
        self._aside: bool | None = None
        self._before = 0
        self._from_zero = False
        self._counted = pairs.Counted()
        self._progress = Progress()
        self._keras = keras.Epochs()
        self._block = headings.Block()
        self._epochs = headings.Epochs()

    def read(self, line: str) -> Iterator[Event]:
        """Yield the rows and bars in the next line."""
        if "\x1b" in line:
            line = _COLOURS.sub("", line)
        if self._wrapped:
            yield from self._unwrap(line)
        elif "{" in line:
            yield from self._dicts(line)
        elif "%|" in line:
            alone = line.count("%|") == 1 and line.endswith(("]", " ", "\n"))
            if not alone and len(parts := bars.apart(line)) > 1:
                for part in parts:
                    yield from self.read(part)
                return
            if pairs.may_tell(line) and (shown := bars.shown(line)) is not None:
                yield from self._shown(line, shown)
            elif (bar := bars.training(line)) is not None:
                yield bar
        elif line and not line.isspace():
            yield from self._plain(line)

    def end(self) -> Iterator[Event]:
        """Yield the row that the last lines make."""
        if (row := self._block.end()) is not None:
            yield from self._row(self._counted.take(row), "script", "")

    def framework(self) -> str | None:
        """Return whose lines most rows were read as, where that tells how settings are called."""
        most = max(self.kinds, key=lambda kind: self.kinds[kind], default=None)
        return most if most in pairs.FRAMEWORKS else None

    def _dicts(self, line: str) -> Iterator[Event]:
        found = dicts.rows(line, self.columns.own)
        if (bar := bars.training(line) if "%|" in line else None) is not None:
            # What stands before a row on its line is older than it.
            yield bar
        for row, strings in found:
            if (bits := fairseq.row(row)) is not None:
                # Where rows of single steps stand, an epoch's is their mean.
                kind = EPOCH if fairseq.of_an_epoch(row) else FAIRSEQ
                if kind != EPOCH or not self._stepwise:
                    yield from self._row(bits, kind, line)
                continue
            self.as_strings += strings
            yield from self._row(row, "dict", line)
        if not found and self._table.names is not None and "}" in line:
            # A metric that is itself a dict: a cell without a number.
            yield from self._plain(_DICT.sub(NO_NUMBER, line))
        elif not found and (start := dicts.opened(line)) is not None:
            self._wrapped = [start]

    def _unwrap(self, line: str) -> Iterator[Event]:
        self._wrapped.append(line.strip())
        if "}" in line:
            whole, self._wrapped = " ".join(self._wrapped), []
            yield from self._dicts(whole)
        elif len(self._wrapped) > WRAPPED_LINES or "{" in line:
            self._wrapped = []
            yield from self.read(line)

    def _shown(self, line: str, shown: bars.Shown) -> Iterator[Event]:
        """Read the metrics at a bar, drawn again and again, and anew in each epoch."""
        row, done, total, epoch = shown[:4]
        kind = "torchtune" if shown.of_torchtune else "bar"
        if shown.evaluation:
            if self._step is not None:
                yield from self._row(self._here(row), "bar", line)
            return
        if self._drawn is None:
            # Lightning's bar tells where a run stands that was resumed.
            self._before = epoch * total if epoch and shown.from_zero else 0
            self._drawn = (0, 0, epoch)
        last, its_total, its_epoch = self._drawn
        if epoch is not None and its_epoch is not None:
            behind = epoch == its_epoch and done < last
            if behind or (epoch == its_epoch - 1 and done > last):
                # Another rank's.
                return
        if done < last:
            self._before += its_total
        if "step" not in row and "global_step" not in row:
            row["step"] = str(self._before + done)
        if epoch is not None:
            self._from_zero = self._from_zero or shown.from_zero or epoch == 0
            # Somewhere within it, where the bar may be that of all epochs.
            within = done / total if shown.per_epoch else 0.5
            row["epoch"] = epoch - (not self._from_zero) + within
        again = (done, total) == (last, its_total)
        self._drawn = (done, total, epoch)
        if not again:
            yield from self._row(row, kind, line)
        elif any(map(is_of_evaluation, row)):
            # Lightning writes the evaluation there when it has ended.
            own = {n: v for n, v in row.items() if canonical(n) not in TRAINED}
            yield from self._row(own, "bar", line)

    def _plain(self, line: str) -> Iterator[Event]:
        if (iterations := pairs.planned(line)) is not None:
            self.columns.max_steps = iterations
        if self._progress.read(line):
            self.columns.max_steps = self._progress.max_steps or self.columns.max_steps
            return
        if (rate := pairs.deepspeed(line)) is not None:
            self._step, self._rate = rate[0], rate
            return
        in_block, row = self._block.take(line)
        if row is not None:
            yield from self._row(self._counted.take(row), "script", line)
        if in_block:
            return
        self._keras.head(line)
        if pairs.may_tell(line) or self._table.names is not None:
            yield from self._told(line)
        else:
            self._epochs.row(line)

    def _told(self, line: str) -> Iterator[Event]:
        """Read a line that may show a loss."""
        if (evaluated := pairs.evaluated(line)) is not None:
            yield from self._row(self._here(evaluated), "evaluation", line)
            return
        if (ended := self._keras.row(line)) is not None:
            yield from self._row(ended, "keras", line)
            return
        below = self._epochs.row(line)
        found = pairs.row(line)
        if found is not None:
            writer, row = found
            row = self._counted.take(row if row.keys() != {"eval_loss"} else self._here(row))
            yield from self._row(row, writer, line)
        elif (shown := self._table.row(line)) is not None:
            yield from self._row(self._progress.placed(shown, step_in(shown)), "table", line)
        elif not self._stepwise and (whole := below or pairs.of_an_epoch(line)) is not None:
            # Where rows of single steps stand, it is their mean.
            yield from self._row(whole, EPOCH, line)
        elif self.kinds and self._aside is not False and (shown := pairs.evaluation(line)):
            self._aside = True
            yield from self._row(self._here(shown), "evaluation", line)

    def _here(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return an evaluation that names no step at the step that the log has come to."""
        return row if self._step is None else {**row, "step": self._step}

    def _row(self, row: Mapping[str, Any], kind: str, line: str) -> Iterator[Event]:
        if match := _RANK.match(line):
            rank = next(filter(None, match.groups()))
            self.ranks.add(rank)
            self._first_rank = self._first_rank or rank
            if rank != self._first_rank:
                return
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        known = self.columns.row(row)
        if _ROUNDED.fullmatch(str(known.get("learning_rate", ""))):
            del known["learning_rate"]
        if self._rate[0] == known.get("step") and "loss" in known:
            known.setdefault("learning_rate", self._rate[1])
        step = known.get("step")
        self._step = step if isinstance(step, int) else self._step
        self._stepwise = self._stepwise or (kind != EPOCH and not known.keys().isdisjoint(TRAINED))
        if self._aside is None and any(name.startswith("eval_") for name in known):
            # What else is said of an evaluation repeats it.
            self._aside = kind == "evaluation"
        yield from self._fresh(known, kind) if kind in STANDING else (known,)

    def _fresh(self, row: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
        """Yield a row without the evaluation that stands there since an earlier one."""
        standing = {n: v for n, v in row.items() if n.startswith("eval_")}
        trained = not row.keys().isdisjoint(TRAINED)
        if standing and standing == self._standing and (trained or kind == "bar"):
            if trained:
                yield {n: v for n, v in row.items() if n not in standing}
            return
        self._standing = standing or self._standing
        yield row


def events(text: Iterable[str], scanner: Scanner) -> Iterator[Event]:
    """Yield the rows and bars of console lines."""
    for line in text:
        yield from scanner.read(line)
    yield from scanner.end()


def recognises(head: Head) -> bool:
    """Return whether a row stands in the first lines, as console text shows it."""
    return next(_rows(events(head.text.splitlines(), Scanner(Columns()))), None) is not None


def read(head: Head, columns: Columns, spacing: int | None = None) -> Log:
    """Read a file."""

    def text() -> Iterator[str]:
        return lines(head.path, head.encoding)

    end = [] if head.whole else tail(head.path, TAIL_BYTES, head.encoding)
    return log_of(text, columns, spacing, end)


def log_of(text: Any, columns: Columns, spacing: int | None, end: list[str]) -> Log:
    """Return the log of console lines that ``text()`` yields as often as it is called.

    Args:
        text: called for the lines from the first one on.
        columns: reads the names.
        spacing: steps between two rows, where the user says so.
        end: the last lines, for a log that is too long to be surveyed whole.
    """
    scanner = Scanner(columns)
    survey, head = _survey(events(text(), scanner), end, columns)
    if columns.take_as_curve(head):
        survey, head = _survey(events(text(), Scanner(columns)), end, columns)
    if (copies := _copies(head)) > 1:
        survey, _ = _survey(events(text(), Scanner(columns)), end, columns, copies)
    plan = survey.plan(spacing)

    def rows() -> Iterator[Mapping[str, Any]]:
        return numbered(_once(events(text(), Scanner(columns)), copies), plan)

    exact = scanner.as_strings > len(head) / 2
    context = RunContext(
        max_steps=columns.max_steps or plan.total,
        logged_digits=DIGITS if exact else None,
        framework=scanner.framework(),
    )
    return Log(
        FORMAT, Again(rows), columns=columns, context=context, notes=_notes(scanner, plan, exact)
    )


def _notes(scanner: Scanner, plan: Plan, exact: bool) -> Iterator[Note]:
    if exact:
        yield Note("digits", {"digits": DIGITS})
    if plan.source is not None:
        yield Note(plan.source, {"spacing": plan.spacing})
    if FAIRSEQ in scanner.kinds:
        yield Note("bits")
    if len(scanner.ranks) > 1:
        yield Note("ranks", {"ranks": len(scanner.ranks)})


def _survey(
    found: Iterable[Event], end: list[str], columns: Columns, copies: int = 1
) -> tuple[Survey, list[Mapping[str, Any]]]:
    """Return a survey of a log's beginning and end, and the rows of its beginning."""
    survey = Survey()
    head: list[Mapping[str, Any]] = []
    for event in found:
        if isinstance(event, tuple):
            survey.add(event)
            continue
        if len(head) % copies == 0:
            survey.add(event)
        head.append(event)
        if len(head) >= SURVEYED_ROWS:
            _add_end(survey, end, columns)
            break
    return survey, head


def _add_end(survey: Survey, end: list[str], columns: Columns) -> None:
    """Show a survey the end of a log: its last bars and closing row, not its rows again."""
    survey.gap()
    for event in events(end, Scanner(columns)):
        if isinstance(event, tuple) or "loss" not in event:
            survey.add(event)


def _rows(found: Iterable[Event]) -> Iterator[Mapping[str, Any]]:
    return (event for event in found if not isinstance(event, tuple))


def _copies(rows: list[Mapping[str, Any]]) -> int:
    """Return how many ranks print each row: all rows stand there as often, one behind another."""
    runs = [len(list(group)) for _, group in groupby(rows)]
    return gcd(*runs) if len(runs) > 2 else 1


def _once(found: Iterable[Event], copies: int) -> Iterator[Event]:
    number = 0
    for event in found:
        if isinstance(event, tuple) or number % copies == 0:
            yield event
        number += not isinstance(event, tuple)
